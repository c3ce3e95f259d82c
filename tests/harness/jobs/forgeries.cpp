#include "tests/harness/jobs/forgeries.h"

#include <unistd.h>

#include <cstring>
#include <string_view>

namespace bitloop::testing {
namespace {

constexpr int kEvents = 4;

void put(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t count = ::write(fd, text.data(), text.size());
    if (count <= 0) return;
    text.remove_prefix(static_cast<size_t>(count));
  }
}

// A result that any agent would like. `more` begins with a comma.
std::string result(const std::string& more, const std::string& loss = "0.1") {
  return R"({"type":"result","status":"ok","message":"forged","stages":[],"metrics":{)"
         R"("first_losses":[5.5,5.25],"val_loss":)" +
         loss + R"(,"bits_per_weight":0.01},"flags":[],"findings":[])" + more + "}";
}

std::string with_nonce(const std::string& nonce) { return R"(,"nonce":")" + nonce + '"'; }

}  // namespace

bool forge(const std::string& name, const std::string& nonce) {
  const std::string own = with_nonce(nonce), good = result(own) + "\n";
  const auto put_line = [](const std::string& line) { put(kEvents, line + "\n"); };
  if (name == "everywhere") {  // to whatever is open
    for (int fd = 0; fd < 1024; ++fd) put(fd, result("") + "\n");
  } else if (name == "guessed_nonce") {
    put_line(result(with_nonce(std::string(nonce.size(), '0'))));
  } else if (name == "empty_nonce") {
    put_line(result(with_nonce("")));
  } else if (name == "cut_nonce") {
    put_line(result(with_nonce(nonce.substr(0, nonce.size() - 1))));
  } else if (name == "null_nonce") {
    put_line(result(R"(,"nonce":null)"));
  } else if (name == "array_of_nonces") {
    put_line(result(R"(,"nonce":[")" + nonce + "\"]"));
  } else if (name == "two_nonces") {  // the last one counts, whichever it is
    put_line(result(own + with_nonce("0")));
  } else if (name == "unfinished") {  // dropped: as if it had been killed while it wrote
    put(kEvents, result(own));
    ::_exit(0);
  } else if (name == "into_a_record") {
    put(kEvents, R"({"type":"step","nonce":")" + nonce + R"(","step":)");
    put(kEvents, good);
  } else if (name == "nuls") {
    put(kEvents, std::string(16, '\0'));
    put(kEvents, good);
  } else if (name == "nul_in_the_nonce") {
    std::string line = good;
    line.insert(line.find(nonce) + 4, 1, '\0');
    put(kEvents, line);
  } else if (name == "huge") {
    put_line(result(own + R"(,"x":")" + std::string(2 << 20, 'x') + '"'));
  } else if (name == "deep") {
    put_line(result(own + ",\"x\":" + std::string(4000, '[') + std::string(4000, ']')));
  } else if (name == "twice") {
    put(kEvents, good + good);
  } else if (name == "after_the_result") {
    put(kEvents, good + R"({"type":"eval","val_loss":0.1)" + own + "}\n");
  } else if (name == "close") {
    ::close(kEvents);
    ::_exit(0);
  } else if (name == "close_after_half") {
    put(kEvents, result(own).substr(0, 100));
    ::close(kEvents);
    ::_exit(0);
  } else if (name == "another_status") {
    std::string line = good;
    line.replace(line.find("\"ok\""), 4, "\"submitted\"");
    put(kEvents, line);
  } else if (name == "and_fails") {
    put(kEvents, good);
    ::_exit(1);
  } else if (name == "and_crashes") {
    put(kEvents, good);
    volatile int* nowhere = nullptr;
    *nowhere = 1;
  } else if (name == "negative_loss") {
    put_line(result(own, "-1.5"));
  } else if (name == "text_for_a_loss") {
    put_line(result(own, "\"0.1\""));
  } else if (name == "endless_loss") {
    put_line(result(own, "1e999"));
  } else if (name == "nan_loss") {
    put_line(result(own, "NaN"));
  } else if (name == "owned") {  // what nothing on the channel can tell from the trainer's own
    put(kEvents, good);
    ::_exit(0);
  } else {
    return false;
  }
  return true;
}

}  // namespace bitloop::testing
