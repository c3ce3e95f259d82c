#include "harness/api/server.h"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "harness/api/client.h"

namespace bitloop::api {
namespace {

using namespace std::chrono_literals;

// A server on any free port, and the real client.
class ServerTest : public ::testing::Test {
 protected:
  ServerTest() : dispatcher_(routes()), server_(dispatcher_, options()) {
    port_ = server_.bind().value();
    thread_ = std::thread([this] { server_.run(); });
  }
  ~ServerTest() override {
    release_ = true;
    server_.stop();
    thread_.join();
  }
  static ServerOptions options() {
    ServerOptions options;
    options.max_connections = 48;
    options.limits.header = 200ms;
    options.limits.whole = 400ms;
    options.limits.write = 1s;
    return options;
  }
  // A connection to the server; the caller closes it.
  int connect_bare() const {
    const int client = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(port_));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    return client;
  }
  // What comes until the server closes the connection.
  static std::string read_to_end(int client) {
    std::string text;
    char bytes[4096];
    ssize_t count = 0;
    while ((count = ::read(client, bytes, sizeof bytes)) > 0)
      text.append(bytes, static_cast<size_t>(count));
    ::close(client);
    return text;
  }
  // Sends it a byte at a time until the server ends the connection, and returns its answer.
  std::string send_slowly(std::string_view request) const {
    const int client = connect_bare();
    for (size_t i = 0; i < 10'000; ++i) {
      const char byte = i < request.size() ? request[i] : 'x';
      if (::send(client, &byte, 1, MSG_NOSIGNAL) != 1) break;
      char answer = 0;
      if (::recv(client, &answer, 1, MSG_PEEK | MSG_DONTWAIT) >= 0) break;
      std::this_thread::sleep_for(5ms);
    }
    return read_to_end(client);
  }
  std::vector<Route> routes() {
    std::vector<Route> list;
    list.push_back({"GET", "/held", "", {}, {}, 200, "", [this](const Request&) {
                      ++held_;
                      while (!release_) std::this_thread::sleep_for(2ms);
                      return json_response({});
                    }});
    list.push_back({"POST",
                    "/echo",
                    "",
                    {},
                    {{"text", FieldType::kString, false, ""}},
                    200,
                    "",
                    [](const Request& request) {
                      return json_response({{"size", request.text("text").value_or("").size()}});
                    }});
    list.push_back({"GET", "/pieces", "", {}, {}, 200, "text/plain", [](const Request&) {
                      Response response;
                      response.content_type = "text/plain";
                      response.stream = [](const auto& write) {
                        for (const char* piece : {"one ", "", "two "}) EXPECT_TRUE(write(piece));
                      };
                      return response;
                    }});
    list.push_back({"GET", "/slow", "", {}, {}, 200, "text/plain", [this](const Request&) {
                      Response response;
                      response.content_type = "text/plain";
                      response.stream = [this](const auto& write) {
                        ++held_;
                        while (!release_) std::this_thread::sleep_for(2ms);
                        write("done");
                      };
                      return response;
                    }});
    list.push_back({"GET", "/endless", "", {}, {}, 200, "text/plain", [this](const Request&) {
                      Response response;
                      response.is_endless = true;
                      response.content_type = "text/plain";
                      response.stream = [this](const auto& write) {
                        while (write(std::string(65536, 'x'))) continue;
                        EXPECT_FALSE(write("more"));
                        gone_ = true;
                      };
                      return response;
                    }});
    list.push_back({"GET", "/broken", "", {}, {}, 200, "text/plain", [](const Request&) {
                      Response response;
                      response.content_type = "text/plain";
                      response.stream = [](const auto& write) {
                        write("half");
                        throw std::runtime_error("as the test wants");
                      };
                      return response;
                    }});
    list.push_back({"POST", "/pieces", "", {}, {}, 200, "", [](const Request& request) {
                      Response response;
                      response.content_type = "text/event-stream";
                      response.stream = [name = request.header("x-name")](const auto& write) {
                        for (int i = 0; i < 3 && write("data: " + name + "\n\n"); ++i) continue;
                      };
                      return response;
                    }});
    return list;
  }

  std::atomic<bool> gone_{false};
  std::atomic<bool> release_{false};
  std::atomic<int> held_{0};
  Dispatcher dispatcher_;
  Server server_;
  int port_ = 0;
  std::thread thread_;
};

TEST_F(ServerTest, AnswersOverASocket) {
  Client client("127.0.0.1", port_);
  EXPECT_EQ(client.post("/echo", {{"text", "four"}})->document["size"], 4);
  const auto missing = client.get("/nothing");
  EXPECT_EQ(missing->status, 404);
  EXPECT_EQ(missing->document["code"], "route_not_found");
}

TEST_F(ServerTest, ALargeBodyIsRefused) {
  Client client("127.0.0.1", port_);
  EXPECT_EQ(client.post("/echo", {{"text", std::string(kMaxBodyBytes - 100, 'x')}})->status, 200);
  const auto refused = client.post("/echo", {{"text", std::string(kMaxBodyBytes + 1, 'x')}});
  ASSERT_TRUE(refused) << refused.error().message;
  EXPECT_EQ(refused->status, 413);
  EXPECT_EQ(refused->document["code"], "body_too_large");
}

TEST_F(ServerTest, HeldRequestsLeaveRoomForOthers) {
  std::vector<std::jthread> held;
  for (int i = 0; i < 40; ++i)
    held.emplace_back([this] { EXPECT_EQ(Client("127.0.0.1", port_).get("/held")->status, 200); });
  while (held_ < 40) std::this_thread::sleep_for(2ms);
  EXPECT_EQ(Client("127.0.0.1", port_).post("/echo", nlohmann::ordered_json::object())->status,
            200);
  EXPECT_FALSE(server_.wait_idle(1));
  release_ = true;
  EXPECT_TRUE(server_.wait_idle(60'000));
}

TEST_F(ServerTest, AStreamIsSentInPieces) {
  const auto answer = Client("127.0.0.1", port_).get("/pieces");
  ASSERT_TRUE(answer) << answer.error().message;
  EXPECT_EQ(answer->text, "one two ");
  EXPECT_TRUE(server_.wait_idle(60'000));
}

// It was cut off after a second, as a stream without an end is.
TEST_F(ServerTest, AStreamThatHasAnEndIsWaitedForLikeACall) {
  std::jthread client([this] { EXPECT_EQ(Client("127.0.0.1", port_).get("/slow")->text, "done"); });
  while (held_ < 1) std::this_thread::sleep_for(2ms);
  std::jthread later([this] {
    std::this_thread::sleep_for(1500ms);
    release_ = true;
  });
  EXPECT_TRUE(server_.wait_idle(60'000));
}

TEST_F(ServerTest, AClientThatDoesNotReadIsCutOff) {
  const int client = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port_));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  ASSERT_EQ(::connect(client, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  const std::string request = "GET /endless HTTP/1.1\r\nHost: localhost\r\n\r\n";
  ASSERT_EQ(::write(client, request.data(), request.size()), static_cast<ssize_t>(request.size()));
  while (!gone_) std::this_thread::sleep_for(2ms);
  EXPECT_TRUE(server_.wait_idle(60'000));
  ::close(client);
}

TEST_F(ServerTest, AStreamThatThrowsEndsItsConnectionAlone) {
  EXPECT_FALSE(Client("127.0.0.1", port_).get("/broken"));
  EXPECT_EQ(Client("127.0.0.1", port_).get("/pieces")->status, 200);
}

TEST_F(ServerTest, APostMayBeAnsweredByAStream) {
  std::string text;
  const auto answer = Client("127.0.0.1", port_)
                          .post_text("/pieces", "{}", {{"X-Name", "a"}},
                                     [&](std::string_view piece) { text += piece; });
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 200);
  EXPECT_EQ(answer->header("transfer-encoding"), "chunked");
  EXPECT_EQ(text, "data: a\n\ndata: a\n\ndata: a\n\n");
  EXPECT_TRUE(server_.wait_idle(60'000));
}

TEST_F(ServerTest, AHeaderThatComesSlowlyIsCutOff) {
  const std::string answer = send_slowly("GET /pieces HTTP/1.1\r\nHost: localhost\r\nX: ");
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 408")) << answer;
  EXPECT_NE(answer.find("request_timeout"), std::string::npos);
}

TEST_F(ServerTest, ABodyThatComesSlowlyIsCutOff) {
  const std::string answer = send_slowly(
      "POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
      "Content-Length: 9000\r\n\r\n");
  EXPECT_TRUE(answer.empty() || answer.starts_with("HTTP/1.1 408") ||
              answer.starts_with("HTTP/1.1 400"))
      << answer;
}

TEST_F(ServerTest, ALargeHeaderIsRefused) {
  const int client = connect_bare();
  std::string request = "GET /pieces HTTP/1.1\r\nHost: localhost\r\n";
  for (int i = 0; i < 20; ++i)
    request += "X-" + std::to_string(i) + ": " + std::string(2000, 'x') + "\r\n";
  request += "Connection: close\r\n\r\n";
  ASSERT_GT(::send(client, request.data(), request.size(), MSG_NOSIGNAL), 0);
  const std::string answer = read_to_end(client);
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 431")) << answer;
}

TEST_F(ServerTest, ALongAddressIsRefused) {
  const auto answer = Client("127.0.0.1", port_).get("/" + std::string(9000, 'x'));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 414);
  EXPECT_EQ(answer->document["code"], "uri_too_long");
}

TEST_F(ServerTest, AConnectionTooManyIsToldSo) {
  std::vector<std::jthread> held;
  for (int i = 0; i < 48; ++i)
    held.emplace_back([this] { EXPECT_EQ(Client("127.0.0.1", port_).get("/held")->status, 200); });
  while (held_ < 48) std::this_thread::sleep_for(2ms);
  const auto refused = Client("127.0.0.1", port_).get("/pieces");
  ASSERT_TRUE(refused) << refused.error().message;
  EXPECT_EQ(refused->status, 503);
  EXPECT_EQ(refused->document["code"], "too_many_connections");
  EXPECT_EQ(refused->header("retry-after"), "5");
  release_ = true;
  held.clear();
  while (Client("127.0.0.1", port_).get("/pieces")->status != 200) std::this_thread::sleep_for(2ms);
}

TEST_F(ServerTest, APortInUseIsAnError) {
  Server second(dispatcher_, {.port = port_});
  EXPECT_EQ(second.bind().error().code, "port_in_use");
}

TEST(ClientTest, NobodyThereIsAnError) {
  EXPECT_EQ(Client("127.0.0.1", 1).get("/").error().code, "no_answer");
}

}  // namespace
}  // namespace bitloop::api
