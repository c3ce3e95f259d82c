#include "harness/api/mcp/http.h"

#include <fmt/format.h>

#include "harness/api/mcp/batch.h"
#include "harness/api/mcp/headers.h"
#include "harness/api/mcp/versions.h"
#include "harness/base/text.h"

namespace bitloop::api::mcp {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

constexpr int kMaxDepth = 32;
constexpr const char* kSessionHeader = "mcp-session-id";
constexpr const char* kEventStream = "text/event-stream";

Response rpc_response(const ordered_json& message, int status = 200) {
  return json_response(message, status);
}

Response refuse(int status, int code, const std::string& message, const json& id = nullptr) {
  return rpc_response(error_message(id, {code, message}), status);
}

Response without_body(int status) {
  Response response;
  response.status = status;
  response.content_type = "";
  return response;
}

Response accepted() { return without_body(202); }

// In the second era the error says the status.
int status_of(const ordered_json& answer) {
  if (!answer.contains("error")) return 200;
  switch (answer["error"]["code"].get<int>()) {
    case kParseError:
    case kInvalidRequest:
    case kInvalidParams:
    case kHeaderMismatch:
    case kUnsupportedVersion:
      return 400;
    case kMethodNotFound:
      return 404;
    default:
      return 200;
  }
}

std::string event(const ordered_json& message) {
  return "event: message\ndata: " + to_line(message) + "\n\n";
}

std::string token_of(const Request& request) { return request.caller ? request.caller->name : ""; }

// Progress is reported where it was asked for and can be received.
bool wants_stream(const Request& request, const Message& message) {
  return Protocol::may_wait(message) && !message.meta("progressToken").is_null() &&
         request.header("accept").find(kEventStream) != std::string::npos;
}

// A connection's requests can be cancelled by a message; in the second era the client hangs up.
ordered_json answer_to(const Protocol& protocol, const Message& message, const Peer& peer,
                       const Exchange& exchange) {
  if (!peer.connection) return protocol.answer(message, peer, exchange);
  Pending& pending = peer.connection->pending();
  return protocol.answer_unless_cancelled(message, peer, exchange, pending,
                                          pending.begin(message.id));
}

}  // namespace

Response HttpEndpoint::post(const Request& request) {
  const auto document = parse_json(request.raw_body, kMaxDepth);
  if (!document) return refuse(400, kParseError, "Parse error: " + document.error().message);
  if (document->is_array()) return post_batch(request, *document);
  const auto message = parse_message(*document);
  if (!message) return rpc_response(error_message(readable_id(*document), message.error()), 400);
  if (message->method == "initialize" && message->kind == Message::Kind::kRequest)
    return open(request, *message);
  const std::string version = request.header(kVersionHeader);
  if (has_envelope(*message) || version == kModernVersion) return post_modern(request, *message);
  if (!version.empty() && !is_handshake_version(version))
    return refuse(400, kInvalidRequest, unknown_handshake_version(version), message->id);
  const auto peer = peer_of(request, message->id);
  if (!peer) return peer.error();
  return respond(request, *message, *peer);
}

Response HttpEndpoint::open(const Request& request, const Message& message) {
  const auto opened = protocol_->initialize(message);
  if (!opened) return rpc_response(error_message(message.id, opened.error()), 400);
  opened->connection->set_token(token_of(request));
  Response response = rpc_response(opened->answer);
  response.headers.emplace_back("Mcp-Session-Id", connections_.add(opened->connection));
  return response;
}

std::expected<Peer, Response> HttpEndpoint::peer_of(const Request& request, const json& id) {
  const std::string name = request.header(kSessionHeader);
  if (name.empty())
    return std::unexpected(refuse(400, kInvalidRequest,
                                  "The header Mcp-Session-Id is missing: send initialize first, "
                                  "and then the header that its answer has.",
                                  id));
  auto connection = connections_.find(name);
  if (!connection || connection->token() != token_of(request))
    return std::unexpected(refuse(404, kInvalidRequest,
                                  "This Mcp-Session-Id is not known (any more): send initialize "
                                  "again, then begin(session=…) with your bitloop session.",
                                  id));
  return Peer{connection->version(), false, connection->client(), connection, request.caller};
}

Response HttpEndpoint::post_modern(const Request& request, const Message& message) {
  if (message.kind == Message::Kind::kResponse)
    return refuse(400, kInvalidRequest, "Nothing was asked that this could answer.");
  if (message.kind == Message::Kind::kNotification) return accepted();
  // A client that contradicts itself is told so before it is told that its version is not spoken.
  auto checked = has_envelope(message) ? check_headers(request, message) : check_envelope(message);
  if (checked) checked = check_envelope(message);
  if (!checked) return rpc_response(error_message(message.id, checked.error()), 400);
  Peer peer = modern_peer(message);
  peer.caller = request.caller;
  return respond(request, message, peer);
}

Response HttpEndpoint::respond(const Request& request, const Message& message, const Peer& peer) {
  if (message.kind == Message::Kind::kNotification && peer.connection)
    peer.connection->pending().take_notice(message);
  if (message.kind != Message::Kind::kRequest) return accepted();
  if (!wants_stream(request, message)) {
    const ordered_json answer = answer_to(*protocol_, message, peer, {});
    if (answer.is_null()) return accepted();
    return rpc_response(answer, peer.modern ? status_of(answer) : 200);
  }
  Response response;
  response.content_type = kEventStream;
  response.stream = [protocol = protocol_, message, peer](const auto& write) {
    bool there = true;
    Exchange exchange;
    exchange.notify = [&](const ordered_json& note) { there = there && write(event(note)); };
    exchange.keep_alive = [&] { there = there && write(":\n\n"); };
    exchange.abandoned = [&] { return !there; };
    const ordered_json answer = answer_to(*protocol, message, peer, exchange);
    if (there && !answer.is_null()) write(event(answer));
  };
  return response;
}

Response HttpEndpoint::post_batch(const Request& request, const json& array) {
  const auto peer = peer_of(request, nullptr);
  if (!peer) return peer.error();
  if (const auto checked = Batch::check(array, peer->version); !checked)
    return rpc_response(error_message(nullptr, checked.error()), 400);
  // shared: the answer may be written after this call
  const auto batch = std::make_shared<Batch>(array, peer->connection->pending());
  if (!batch->may_wait()) {
    const ordered_json answers = batch->answer(*protocol_, *peer, {});
    return answers.empty() ? accepted() : rpc_response(answers);
  }
  // Written as a stream, which notices a client that is gone.
  Response response;
  response.stream = [protocol = protocol_, batch, peer = *peer](const auto& write) {
    bool there = true;
    Exchange exchange;
    exchange.abandoned = [&] { return !(there = there && write("")); };
    const ordered_json answers = batch->answer(*protocol, peer, exchange);
    if (there) write(to_line(answers) + "\n");
  };
  return response;
}

Response HttpEndpoint::remove(const Request& request) {
  const auto peer = peer_of(request, nullptr);
  if (!peer) return peer.error();
  peer->connection->pending().cancel_all();
  connections_.remove(request.header(kSessionHeader));
  return without_body(204);
}

std::vector<Route> make_mcp_routes(sessions::Service& service, std::vector<Route> routes) {
  // shared by the two routes
  const auto endpoint = std::make_shared<HttpEndpoint>(service, std::move(routes));
  Route post{"POST",
             "/mcp",
             "The Model Context Protocol, streamable HTTP: one JSON-RPC message",
             {},
             {},
             200,
             "application/json",
             [endpoint](const Request& request) { return endpoint->post(request); },
             true,
             {"Mcp-Session-Id", "MCP-Protocol-Version"}};
  Route remove{"DELETE",
               "/mcp",
               "End the MCP connection that Mcp-Session-Id names",
               {},
               {},
               204,
               "",
               [endpoint](const Request& request) { return endpoint->remove(request); },
               true,
               {"Mcp-Session-Id"}};
  return {std::move(post), std::move(remove)};
}

}  // namespace bitloop::api::mcp
