#include "harness/api/client.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <cctype>

namespace bitloop::api {
namespace {

constexpr time_t kConnectS = 10;
constexpr time_t kTimeoutS = 90;  // more than the longest wait the server grants

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

Result<ClientAnswer> take(const httplib::Result& result, const std::string& path) {
  if (!result)
    return fail("no_answer", fmt::format("No answer from the server for {} ({}).", path,
                                         httplib::to_string(result.error())));
  ClientAnswer answer;
  answer.status = result->status;
  answer.text = result->body;
  answer.document = nlohmann::json::parse(result->body, nullptr, false);
  if (answer.document.is_discarded()) answer.document = nullptr;
  for (const auto& [name, value] : result->headers) answer.headers[lower(name)] = value;
  return answer;
}

}  // namespace

struct Client::Impl {
  Impl(const std::string& host, int port) : http(host, port) {}
  httplib::Client http;
};

Client::Client(const std::string& host, int port) : impl_(std::make_unique<Impl>(host, port)) {
  impl_->http.set_keep_alive(true);
  impl_->http.set_tcp_nodelay(true);
  impl_->http.set_connection_timeout(kConnectS);
  impl_->http.set_read_timeout(kTimeoutS);
}

std::string ClientAnswer::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

Client::~Client() = default;

void Client::set_token(const std::string& token) {
  impl_->http.set_bearer_token_auth(token.c_str());
}

void Client::cut_off() { impl_->http.stop(); }

Result<ClientAnswer> Client::get(const std::string& path) {
  return take(impl_->http.Get(path), path);
}

Result<ClientAnswer> Client::post(const std::string& path, const nlohmann::ordered_json& body) {
  return take(impl_->http.Post(path, body.dump(), "application/json"), path);
}

Result<ClientAnswer> Client::post_text(
    const std::string& path, const std::string& body,
    const std::vector<std::pair<std::string, std::string>>& headers,
    const std::function<void(std::string_view piece)>& take_piece) {
  httplib::Request request;
  request.method = "POST";
  request.path = path;
  request.body = body;
  request.set_header("Content-Type", "application/json");
  for (const auto& [name, value] : headers) request.set_header(name, value);
  bool streams = false;
  std::string text;
  request.response_handler = [&](const httplib::Response& response) {
    streams = response.get_header_value("Content-Type").starts_with("text/event-stream");
    return true;
  };
  request.content_receiver = [&](const char* data, size_t size, uint64_t, uint64_t) {
    streams ? take_piece({data, size}) : static_cast<void>(text.append(data, size));
    return true;
  };
  httplib::Result result = impl_->http.send(request);
  if (result) result->body = std::move(text);
  return take(result, path);
}

}  // namespace bitloop::api
