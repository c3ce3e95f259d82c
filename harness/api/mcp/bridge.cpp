#include "harness/api/mcp/bridge.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "harness/api/mcp/headers.h"
#include "harness/api/mcp/protocol.h"
#include "harness/api/mcp/versions.h"

namespace bitloop::api::mcp {
namespace {

using nlohmann::json;

constexpr size_t kMaxWaiting = 64;
constexpr int kMaxDepth = 32;
constexpr int kNotFound = 404;
constexpr std::chrono::milliseconds kCutOffAgain{10};

// The messages in a body that comes in pieces: one JSON document, or the data of server-sent
// events, which the server writes on one line each.
class BodyReader {
 public:
  explicit BodyReader(LineWriter& writer) : writer_(writer) {}
  void take(std::string_view piece) {
    for (const char c : piece) {
      if (c != '\n') {
        line_ += c;
        continue;
      }
      if (line_.starts_with("data: ")) writer_.write(line_.substr(6));
      line_.clear();
    }
  }

 private:
  LineWriter& writer_;
  std::string line_;
};

// Whether a message, or one of a batch, may take long.
bool may_wait(const json& document) {
  if (document.is_array()) return std::ranges::any_of(document, may_wait);
  const auto message = parse_message(document);
  return message && Protocol::may_wait(*message);
}

}  // namespace

Bridge::Bridge(ServerAddress address, int out)
    : address_(std::move(address)),
      writer_(out),
      client_(address_.host, address_.port),
      pool_(kMaxWaiting) {
  client_.set_token(address_.token);
}

void Bridge::take(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos && !line.empty()) return;
  const auto document = parse_json(line, kMaxDepth);
  if (!document) {
    writer_.write(
        to_line(error_message(nullptr, {kParseError, "Parse error: " + document.error().message})));
    return;
  }
  // What is no message, the server says best; a batch goes as it is.
  const Message message = parse_message(*document).value_or(Message{});
  const std::string text(line);
  if (message.method == "initialize") {
    const std::lock_guard guard(mutex_);
    initialize_ = text;
    session_.clear();
  }
  if (!may_wait(*document)) return forward(client_, message, text);
  pool_.enqueue([this, message, text] { forward_beside(message, text); });
}

void Bridge::forward_beside(const Message& message, const std::string& line) {
  Client client(address_.host, address_.port);
  client.set_token(address_.token);
  if (!enter(client)) return say_why_not(message);
  forward(client, message, line);
  {
    const std::lock_guard guard(mutex_);
    beside_.erase(&client);
  }
  beside_changed_.notify_all();
}

bool Bridge::enter(Client& client) {
  const std::lock_guard guard(mutex_);
  if (!closing_) beside_.insert(&client);
  return !closing_;
}

void Bridge::finish() {
  {
    std::unique_lock lock(mutex_);
    closing_ = true;
    // Again and again: a client that is connecting has nothing yet that could be cut off.
    while (!beside_.empty()) {
      for (Client* client : beside_) client->cut_off();
      beside_changed_.wait_for(lock, kCutOffAgain);
    }
  }
  pool_.shutdown();
}

void Bridge::forward(Client& client, const Message& message, const std::string& line) {
  auto answer = post(client, message, line);
  if (answer && answer->status == kNotFound && !has_envelope(message) && reopen(client))
    answer = post(client, message, line);
  const bool asked = message.kind == Message::Kind::kRequest;
  if (!answer) {
    say_why_not(message);
  } else if (answer && answer->document.contains("jsonrpc")) {
    if (answer->document.value("id", json()).is_null() && asked)
      answer->document["id"] = message.id;
    writer_.write(to_line(answer->document));
  } else if (answer && answer->document.is_array()) {
    writer_.write(to_line(answer->document));
  } else if (answer && answer->status >= 300 && asked) {  // a problem document, or another server
    writer_.write(to_line(error_message(
        message.id, {kInvalidRequest, fmt::format("The server refused the request ({}): {}",
                                                  answer->status, answer->text.substr(0, 500))})));
  }
}

void Bridge::say_why_not(const Message& message) {
  if (message.kind != Message::Kind::kRequest || message.id.is_null()) return;
  const bool ended = [this] {
    const std::lock_guard guard(mutex_);
    return closing_;
  }();
  const std::string why =
      ended ? "The input ended before the answer came."
            : fmt::format("There is no answer from http://{}:{}; is `bitloop serve` running there?",
                          address_.host, address_.port);
  writer_.write(to_line(error_message(message.id, {kInternalError, why})));
}

Result<ClientAnswer> Bridge::post(Client& client, const Message& message, const std::string& line) {
  BodyReader reader(writer_);
  BITLOOP_ASSIGN(answer, client.post_text("/mcp", line, headers(message),
                                          [&](std::string_view piece) { reader.take(piece); }));
  const bool opened = answer.status == 200 && answer.document.is_object();
  if (message.method != "initialize" || !opened) return answer;
  const std::lock_guard guard(mutex_);
  session_ = answer.header("mcp-session-id");
  version_ = answer.document.value(json::json_pointer("/result/protocolVersion"), "");
  return answer;
}

std::vector<std::pair<std::string, std::string>> Bridge::headers(const Message& message) const {
  std::vector<std::pair<std::string, std::string>> list = {
      {"Accept", "application/json, text/event-stream"}};
  if (has_envelope(message)) {
    for (const auto& [name, value] : repeated_headers(message)) list.emplace_back(name, value);
    return list;
  }
  const std::lock_guard guard(mutex_);
  if (!session_.empty() && message.method != "initialize") {
    list.emplace_back("Mcp-Session-Id", session_);
    list.emplace_back(kVersionHeader, version_);
  }
  return list;
}

bool Bridge::reopen(Client& client) {
  std::string line;
  {
    const std::lock_guard guard(mutex_);
    line = initialize_;
  }
  if (line.empty()) return false;
  const auto message = parse_message(json::parse(line));
  if (!message) return false;
  const auto answer = post(client, *message, line);
  return answer && answer->status == 200;
}

void bridge_stdio(const ServerAddress& address, int in, int out) {
  Bridge bridge(address, out);
  read_lines(in, [&](std::string_view line) { bridge.take(line); });
}

}  // namespace bitloop::api::mcp
