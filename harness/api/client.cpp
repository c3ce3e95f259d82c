#include "harness/api/client.h"

#include <fmt/format.h>
#include <httplib.h>

namespace bitloop::api {
namespace {

constexpr time_t kTimeoutS = 90;  // more than the longest wait the server grants

Result<ClientAnswer> take(const httplib::Result& result, const std::string& path) {
  if (!result)
    return fail("no_answer", fmt::format("No answer from the server for {} ({}).", path,
                                         httplib::to_string(result.error())));
  ClientAnswer answer;
  answer.status = result->status;
  answer.text = result->body;
  answer.document = nlohmann::json::parse(result->body, nullptr, false);
  if (answer.document.is_discarded()) answer.document = nullptr;
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
  impl_->http.set_read_timeout(kTimeoutS);
}

Client::~Client() = default;

Result<ClientAnswer> Client::get(const std::string& path) {
  return take(impl_->http.Get(path), path);
}

Result<ClientAnswer> Client::post(const std::string& path, const nlohmann::ordered_json& body) {
  return take(impl_->http.Post(path, body.dump(), "application/json"), path);
}

}  // namespace bitloop::api
