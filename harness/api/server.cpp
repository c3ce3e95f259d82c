#include "harness/api/server.h"

#include <fmt/format.h>
#include <httplib.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cctype>
#include <chrono>
#include <functional>
#include <thread>
#include <utility>

#include "harness/api/problem.h"
#include "harness/api/request_socket.h"
#include "harness/api/thread_pool.h"

namespace bitloop::api {
namespace {

constexpr size_t kKeepAliveRequests = 100'000;
constexpr size_t kThreadsToTurnAway = 16;
constexpr int kBacklog = 1024;
constexpr int kSendBufferBytes = 256 << 10;
constexpr int kStreamsEndMs = 1000;
constexpr const char* kAnyPath = R"([\s\S]*)";

// The socket as the library wants it.
class SocketStream : public httplib::Stream {
 public:
  explicit SocketStream(RequestSocket& socket) : socket_(socket) {}
  bool is_readable() const override { return socket_.is_readable(); }
  bool is_writable() const override { return socket_.is_writable(); }
  ssize_t read(char* data, size_t size) override { return socket_.read(data, size); }
  ssize_t write(const char* data, size_t size) override { return socket_.write(data, size); }
  // Nobody asks who is at the other end.
  void get_remote_ip_and_port(std::string&, int& port) const override { port = 0; }
  void get_local_ip_and_port(std::string&, int& port) const override { port = 0; }
  socket_t socket() const override { return socket_.socket(); }

 private:
  RequestSocket& socket_;
};

// A whole HTTP response, for what the library leaves unanswered; the connection ends with it.
std::string last_answer(const Error& error) {
  const std::string body = problem_document(error);
  const int status = status_of(error.code);
  return fmt::format(
      "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{}Connection: close\r\n\r\n{}",
      status, title_of(status), kProblemType, body.size(),
      status == 503 ? "Retry-After: 5\r\n" : "", body);
}

Error no_place() {
  return {"too_many_connections",
          "The server has no place for another connection; close one, or come back later."};
}

// Requires: the request has met a limit.
Error limit_error(RequestSocket::Limit limit) {
  if (limit == RequestSocket::Limit::kTime)
    return {"request_timeout", "The request took too long to arrive; send it again at once."};
  return {"headers_too_large", "The header is too large; send fewer and shorter fields."};
}

// Ready-made: it is sent when there is no memory to make one.
constexpr std::string_view kNoMemory =
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\n"
    "Content-Length: 159\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
    R"({"type":"urn:bitloop:problem:out_of_memory","title":"Unavailable","status":503,"code":"out_of_memory","detail":"The server is out of memory; come back later."})";

class ListeningServer : public httplib::Server {
 public:
  // `on_cut_off`: called on a connection's thread that ends within a request.
  ListeningServer(const ServerOptions& options, std::function<void()> on_cut_off)
      : limits_(options.limits),
        most_(options.max_connections + options.max_streams),
        on_cut_off_(std::move(on_cut_off)) {}

  // cpp-httplib listens with a backlog of 5; a burst of clients beyond it waits a second for TCP to
  // try again.
  void widen_backlog() { ::listen(svr_sock_, kBacklog); }

  // Of the connection that this thread serves; nullptr outside of one.
  static thread_local const RequestSocket* serving;
  // Whether its last request was not read to its end, so that nobody knows where the next begins.
  static thread_local bool is_unreadable;

 private:
  // The library's own, with our limits.
  bool process_and_close_socket(socket_t socket) override {
    const bool has_place = ++open_ <= most_;
    if (has_place) {
      serve_or_say_why_not(socket);
    } else {
      turn_away(socket, last_answer(no_place()));
    }
    --open_;
    ::shutdown(socket, SHUT_RDWR);
    ::close(socket);
    return has_place;
  }

  // The library reads a request outside of what it guards: without memory for a body this
  // connection ends, not the server.
  void serve_or_say_why_not(socket_t socket) {
    RequestSocket requests(socket, limits_);
    try {
      serve(socket, requests);
    } catch (const std::exception& error) {
      serving = nullptr;
      on_cut_off_();
      spdlog::error("a connection was cut off: {}", error.what());
      // Not into the middle of an answer.
      if (!requests.has_answered())
        ::send(socket, kNoMemory.data(), kNoMemory.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
  }

  void serve(socket_t socket, RequestSocket& requests) {
    SocketStream stream(requests);
    serving = &requests;
    is_unreadable = false;
    for (size_t left = keep_alive_max_count_; left > 0 && svr_sock_ != INVALID_SOCKET; --left) {
      bool closed = false;
      if (!requests.next_request() || !process_request(stream, left == 1, closed, nullptr) ||
          closed || is_unreadable || requests.met() != RequestSocket::Limit::kNone)
        break;
    }
    serving = nullptr;
    if (is_unreadable) end_answers(socket);
    // In its first line; after that the library answers.
    if (requests.met() != RequestSocket::Limit::kNone && !requests.has_answered())
      turn_away(socket, last_answer(limit_error(requests.met())));
  }

  const RequestLimits limits_;
  const size_t most_;
  const std::function<void()> on_cut_off_;
  std::atomic<size_t> open_{0};
};

thread_local const RequestSocket* ListeningServer::serving = nullptr;
thread_local bool ListeningServer::is_unreadable = false;

class PoolQueue : public httplib::TaskQueue {
 public:
  PoolQueue(size_t threads, std::function<void(size_t)> on_limit)
      : pool_(threads, std::move(on_limit)) {}
  void enqueue(std::function<void()> task) override { pool_.enqueue(std::move(task)); }
  void shutdown() override { pool_.shutdown(); }

 private:
  GrowingPool pool_;
};

// A body that comes in pieces.
void stream_body(const Response& answer, httplib::Response& response) {
  response.set_chunked_content_provider(answer.content_type, [stream = answer.stream](
                                                                 size_t, httplib::DataSink& sink) {
    bool is_there = true;
    try {
      stream([&](std::string_view chunk) {
        if (is_there)
          is_there = chunk.empty() ? sink.is_writable() : sink.write(chunk.data(), chunk.size());
        return is_there;
      });
    } catch (const std::exception& error) {
      spdlog::error("a stream ended early: {}", error.what());
      return false;
    }
    if (is_there) sink.done();
    return is_there;
  });
}

void send(const Response& answer, httplib::Response& response) {
  response.status = answer.status;
  for (const auto& [name, value] : answer.headers) response.set_header(name, value);
  response.set_header("Cache-Control", "no-store");
  response.set_header("X-Content-Type-Options", "nosniff");
  if (answer.stream) return stream_body(answer, response);
  if (answer.content_type.empty() || answer.status == 204) return;
  response.set_content(answer.body, answer.content_type);
}

RawRequest to_raw(const httplib::Request& request) {
  RawRequest raw;
  raw.method = request.method;
  raw.path = request.path;
  raw.query = request.params;
  raw.content_type = request.get_header_value("Content-Type");
  raw.if_match = request.get_header_value("If-Match");
  raw.idempotency_key = request.get_header_value("Idempotency-Key");
  raw.host = request.get_header_value("Host");
  raw.origin = request.get_header_value("Origin");
  for (const auto& [name, value] : request.headers) {
    std::string lower = name;
    for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    raw.headers.emplace(std::move(lower), value);
  }
  return raw;
}

// Reads a body of at most kMaxBodyBytes, after decompression.
Result<std::string> read_body(const httplib::Request& request, const httplib::ContentReader& reader,
                              httplib::Response& response) {
  // Without either header a request has no body (RFC 9112); the library would wait for the
  // connection's end.
  if (!request.has_header("Content-Length") && !request.has_header("Transfer-Encoding"))
    return std::string();
  std::string body;
  bool too_large = false;
  const auto receive = [&](const char* data, size_t size) {
    too_large = body.size() + size > kMaxBodyBytes;
    if (!too_large) body.append(data, size);
    return !too_large;
  };
  const bool whole = reader(receive);
  if (too_large || response.status == 413)
    return fail("body_too_large",
                fmt::format("The body exceeds {} bytes; send less at a time.", kMaxBodyBytes));
  if (!whole)
    return fail("body_incomplete",
                "The body ended before the announced length; send the request again.");
  return body;
}

// What the library refuses by itself: a broken request line, a path or a header that is too long.
Error library_error(int status) {
  const RequestSocket* socket = ListeningServer::serving;
  if (socket != nullptr && socket->met() != RequestSocket::Limit::kNone)
    return limit_error(socket->met());
  if (status == 414) return {"uri_too_long", "The address is too long; it has at most 8192 bytes."};
  if (status == 413)
    return {"body_too_large", fmt::format("The body exceeds {} bytes.", kMaxBodyBytes)};
  if (status == 404)
    return {"route_not_found", "There is nothing here; GET /openapi.json lists the calls."};
  if (status >= 500) return {"internal", "The server failed at this request; its log says why."};
  return {"invalid_request", fmt::format("The request is not valid HTTP (status {}).", status)};
}

// Makes this answer the last of its connection.
void end_after(httplib::Response& response) {
  ListeningServer::is_unreadable = true;
  response.set_header("Connection", "close");
}

bool has_body(const httplib::Request& request) {
  return request.has_header("Transfer-Encoding") ||
         (request.has_header("Content-Length") &&
          request.get_header_value("Content-Length") != "0");
}

// A method that the library does not know; it refuses it before it reads the header.
bool has_foreign_method(const httplib::Request& request) {
  static constexpr std::string_view kKnown[] = {"GET",     "HEAD",    "POST",  "PUT",   "DELETE",
                                                "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"};
  const bool is_name = !request.method.empty() && std::ranges::all_of(request.method, [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_';
  });
  return is_name && std::ranges::find(kKnown, request.method) == std::end(kKnown) &&
         request.target.starts_with('/') && request.version.starts_with("HTTP/1.");
}

}  // namespace

struct Server::Impl {
  Impl(Dispatcher& used, const ServerOptions& given)
      : dispatcher(used), options(given), http(given, [this] { written(); }) {}

  void answer(const RawRequest& raw, httplib::Response& response) {
    answering = &active;
    ++active;
    const Response answer = dispatcher.dispatch(raw);
    if (answer.is_endless) {
      ++streams;
      --active;
      answering = &streams;
    }
    send(answer, response);
  }

  // Called on the same thread when the response has been written, or never will be: only then may a
  // server that ends forget it.
  void written() {
    if (std::atomic<int>* counted = std::exchange(answering, nullptr)) --*counted;
  }

  Dispatcher& dispatcher;
  ServerOptions options;
  std::atomic<int> active{0};   // requests whose answer is not written yet
  std::atomic<int> streams{0};  // the same of endless streams
  // Where this thread's answer is counted; nullptr: nowhere, or one of the library's own.
  static thread_local std::atomic<int>* answering;
  std::atomic<bool> stopping{false};
  std::atomic<bool> entered{false};  // run() was called
  std::atomic<bool> finished{false};
  ListeningServer http;
};

thread_local std::atomic<int>* Server::Impl::answering = nullptr;

Server::Server(Dispatcher& dispatcher, const ServerOptions& options)
    : impl_(std::make_unique<Impl>(dispatcher, options)) {
  Impl& impl = *impl_;
  httplib::Server& http = impl.http;
  http.new_task_queue =
      [threads = options.max_connections + options.max_streams + kThreadsToTurnAway,
       on_limit = options.on_thread_limit] { return new PoolQueue(threads, on_limit); };
  http.set_tcp_nodelay(true);
  // The library's own choice is SO_REUSEPORT, with which a second server would share the port
  // unnoticed.
  http.set_socket_options([](socket_t socket) {
    const int yes = 1;
    ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    // Connections inherit it: what the kernel keeps for a client that does not read.
    const int bytes = kSendBufferBytes;
    ::setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
  });
  http.set_payload_max_length(kMaxBodyBytes);
  http.set_keep_alive_max_count(kKeepAliveRequests);

  // Everything goes to the dispatcher: requests without a body here, before the library looks for
  // routes of its own.
  http.set_pre_routing_handler(
      [&impl](const httplib::Request& request, httplib::Response& response) {
        if (request.method == "POST" || request.method == "PUT" || request.method == "PATCH" ||
            request.method == "DELETE")
          return httplib::Server::HandlerResponse::Unhandled;
        impl.answer(to_raw(request), response);
        // Nobody reads a body that such a request has: it would be taken for the next request.
        if (has_body(request)) end_after(response);
        return httplib::Server::HandlerResponse::Handled;
      });
  const auto with_body = [&impl](const httplib::Request& request, httplib::Response& response,
                                 const httplib::ContentReader& reader) {
    RawRequest raw = to_raw(request);
    if (request.is_multipart_form_data()) {
      // Nothing takes form data, whose parts nobody needs to read to say so.
      raw.body = " ";
      impl.answer(raw, response);
      return end_after(response);
    }
    auto body = read_body(request, reader, response);
    if (!body) {
      // What is left of the body would be taken for the next request.
      send(problem_response(body.error()), response);
      return end_after(response);
    }
    raw.body = std::move(*body);
    impl.answer(raw, response);
  };
  http.Post(kAnyPath, with_body);
  http.Put(kAnyPath, with_body);
  http.Patch(kAnyPath, with_body);
  http.Delete(kAnyPath, with_body);
  http.Delete(kAnyPath, [&impl](const httplib::Request& request, httplib::Response& response) {
    impl.answer(to_raw(request), response);
  });
  const auto fill_error = [&impl](const httplib::Request& request, httplib::Response& response) {
    if (!response.body.empty()) return httplib::Server::HandlerResponse::Unhandled;
    const int status = response.status;
    if (status == 400 && has_foreign_method(request))
      send(impl.dispatcher.refuse_method(
               request.method, request.target.substr(0, request.target.find_first_of("?#"))),
           response);
    else
      send(problem_response(library_error(status)), response);
    if (status == 400) end_after(response);
    return httplib::Server::HandlerResponse::Handled;
  };
  http.set_logger([&impl](const httplib::Request&, const httplib::Response&) { impl.written(); });
  http.set_error_handler(httplib::Server::HandlerWithResponse(fill_error));
}

Server::~Server() = default;

Result<int> Server::bind() {
  const ServerOptions& options = impl_->options;
  int port = options.port;
  if (port == 0) {
    port = impl_->http.bind_to_any_port(options.host);
  } else if (!impl_->http.bind_to_port(options.host, port)) {
    port = -1;
  }
  if (port < 0)
    return fail("port_in_use",
                fmt::format("Cannot listen on {}:{}; choose another port, or 0 for any free one.",
                            options.host, options.port));
  impl_->http.widen_backlog();
  return port;
}

void Server::run() {
  impl_->entered = true;
  if (!impl_->stopping) impl_->http.listen_after_bind();
  impl_->finished = true;
}

void Server::stop() {
  impl_->stopping = true;
  // The library ignores a stop that comes while it is still starting.
  while (impl_->entered && !impl_->finished) {
    if (impl_->http.is_running()) return impl_->http.stop();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

bool Server::wait_idle(int timeout_ms) {
  const auto wait = [](const std::atomic<int>& count, int most_ms) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(most_ms);
    while (count > 0) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    return true;
  };
  const bool calls = wait(impl_->active, timeout_ms);
  return wait(impl_->streams, std::min(timeout_ms, kStreamsEndMs)) && calls;
}

}  // namespace bitloop::api
