#include "harness/api/mcp/stdio.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>

#include "harness/api/dispatcher.h"
#include "harness/api/mcp/batch.h"
#include "harness/api/mcp/versions.h"
#include "harness/api/thread_pool.h"

namespace bitloop::api::mcp {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr size_t kMaxWaiting = 64;  // requests that take long, at a time
constexpr int kMaxDepth = 32;

RpcError not_begun() {
  return {kInternalError, "Not begun: the input ended before its turn came."};
}

// The conversation with the one client.
class Conversation {
 public:
  Conversation(const Protocol& protocol, int out)
      : protocol_(protocol), writer_(out), pool_(kMaxWaiting) {}

  void take(std::string_view line);
  void finish() {
    closing_ = true;
    pool_.shutdown();
  }

 private:
  void take_batch(const json& array);
  void take_request(const Message& request);
  // Works on what may take long beside the others: `work` answers it. When every thread is busy it
  // waits for its turn, and `refuse` answers it if the input has ended before that.
  void enqueue(std::function<ordered_json()> work, std::function<ordered_json()> refuse);
  Exchange exchange();
  ordered_json initialize(const Message& request);
  RpcResult<Peer> peer_of(const Message& request) const;
  void send(const ordered_json& message) {
    if (!message.is_null()) writer_.write(to_line(message));
  }

  const Protocol& protocol_;
  LineWriter writer_;
  Pending pending_;
  // Shared with the requests that come over it; used by the thread that reads, and by no other.
  std::shared_ptr<Connection> connection_;
  std::atomic<bool> closing_{false};
  std::atomic<size_t> unfinished_{0};  // in the pool
  GrowingPool pool_;                   // last: its threads use the others
};

void Conversation::take(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos && !line.empty()) return;
  const auto document = parse_json(line, kMaxDepth);
  if (!document)
    return send(error_message(nullptr, {kParseError, "Parse error: " + document.error().message}));
  if (document->is_array()) return take_batch(*document);
  const auto message = parse_message(*document);
  if (!message) return send(error_message(readable_id(*document), message.error()));
  if (message->kind == Message::Kind::kNotification) pending_.take_notice(*message);
  if (message->kind == Message::Kind::kRequest) take_request(*message);
}

void Conversation::take_request(const Message& request) {
  if (request.method == "initialize") return send(initialize(request));
  const auto peer = peer_of(request);
  if (!peer) return send(error_message(request.id, peer.error()));
  // Begun here: the next line may cancel it.
  const CancelFlag flag = pending_.begin(request.id);
  const auto work = [this, request, peer = *peer, flag] {
    return protocol_.answer_unless_cancelled(request, peer, exchange(), pending_, flag);
  };
  if (!Protocol::may_wait(request)) return send(work());
  enqueue(work, [request, flag] {
    return *flag ? ordered_json() : error_message(request.id, not_begun());
  });
}

void Conversation::take_batch(const json& array) {
  const auto checked = Batch::check(array, connection_ ? connection_->version() : "");
  if (!checked) return send(error_message(nullptr, checked.error()));
  // shared: std::function wants to be copied
  const auto batch = std::make_shared<Batch>(array, pending_);
  const Peer peer{connection_->version(), false, connection_->client(), connection_};
  const auto work = [this, batch, peer] {
    ordered_json answers = batch->answer(protocol_, peer, exchange());
    return answers.empty() ? ordered_json() : answers;
  };
  batch->may_wait() ? enqueue(work, work) : send(work());  // it sees itself that the input ended
}

void Conversation::enqueue(std::function<ordered_json()> work,
                           std::function<ordered_json()> refuse) {
  const bool has_thread = ++unfinished_ <= kMaxWaiting;
  pool_.enqueue([this, has_thread, work = std::move(work), refuse = std::move(refuse)] {
    send(!has_thread && closing_ ? refuse() : work());
    --unfinished_;
  });
}

Exchange Conversation::exchange() {
  Exchange exchange;
  exchange.notify = [this](const ordered_json& note) { send(note); };
  exchange.abandoned = [this] { return closing_.load(); };
  return exchange;
}

ordered_json Conversation::initialize(const Message& request) {
  const auto opened = protocol_.initialize(request);
  if (!opened) return error_message(request.id, opened.error());
  connection_ = opened->connection;
  return opened->answer;
}

RpcResult<Peer> Conversation::peer_of(const Message& request) const {
  if (has_envelope(request)) {
    if (auto checked = check_envelope(request); !checked) return std::unexpected(checked.error());
    return modern_peer(request);
  }
  if (!connection_) return rpc_fail(kInvalidRequest, "Send initialize first.");
  return Peer{connection_->version(), false, connection_->client(), connection_};
}

}  // namespace

bool LineWriter::write(const std::string& line) {
  const std::string whole = line + "\n";
  const std::lock_guard guard(mutex_);
  for (size_t done = 0; open_ && done < whole.size();) {
    const ssize_t written = ::write(fd_, whole.data() + done, whole.size() - done);
    if (written > 0) done += static_cast<size_t>(written);
    if (written < 0 && errno != EINTR) open_ = false;
  }
  return open_;
}

void read_lines(int fd, const std::function<void(std::string_view line)>& take) {
  std::array<char, 65536> chunk{};
  std::string line;
  bool too_long = false;
  while (true) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    for (const char c : std::string_view(chunk.data(), static_cast<size_t>(got))) {
      if (c == '\n') {
        take(too_long ? std::string_view() : std::string_view(line.empty() ? " " : line));
        line.clear();
        too_long = false;
      } else if (line.size() >= kMaxBodyBytes) {
        too_long = true;
      } else {
        line += c;
      }
    }
  }
  if (!line.empty()) take(line);
}

void serve_stdio(const Protocol& protocol, int in, int out) {
  Conversation conversation(protocol, out);
  read_lines(in, [&](std::string_view line) { conversation.take(line); });
  conversation.finish();
}

}  // namespace bitloop::api::mcp
