#include "harness/api/client.h"

#include <fmt/format.h>
#include <httplib.h>

#include <algorithm>
#include <cctype>
#include <charconv>

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

Result<ServerAddress> parse_server_url(std::string_view url) {
  const auto wrong = [&] {
    return fail("bad_value", fmt::format("'{}' is not the URL of a server; write it as `bitloop "
                                         "serve` prints it: http://127.0.0.1:8321.",
                                         url.substr(0, 100)));
  };
  constexpr std::string_view kScheme = "http://";
  if (!url.starts_with(kScheme)) return wrong();
  std::string_view rest = url.substr(kScheme.size());
  if (rest.ends_with("/")) rest.remove_suffix(1);
  if (rest.ends_with("/mcp")) rest.remove_suffix(4);
  const size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return wrong();
  ServerAddress address{std::string(rest.substr(0, colon)), 0};
  const std::string_view port = rest.substr(colon + 1);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), address.port);
  if (error != std::errc{} || end != port.data() + port.size() || address.port < 1 ||
      address.port > 65535)
    return wrong();
  return address;
}

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

Result<ClientAnswer> Client::remove(const std::string& path) {
  return take(impl_->http.Delete(path, {{"If-Match", "*"}}), path);
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
