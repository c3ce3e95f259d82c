// A connection's socket as the server reads requests from it: with limits on how long a request may
// take to arrive and how large its header may be, whatever the client's pace. The HTTP library's
// own limit is on the wait for each byte, so that a byte a second would hold a thread for hours.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <string>

namespace bitloop::api {

struct RequestLimits {
  std::chrono::milliseconds idle{5'000};     // between two requests
  std::chrono::milliseconds header{10'000};  // from a request's first byte to the end of its header
  std::chrono::milliseconds whole{30'000};   // to the end of its body
  std::chrono::milliseconds write{10'000};   // a client that takes nothing for so long is cut off
  size_t header_bytes = size_t{32} << 10;    // request line and header fields together
};

// For one thread. Does not own the socket.
class RequestSocket {
 public:
  enum class Limit { kNone, kTime, kHeaderBytes };

  RequestSocket(int socket, const RequestLimits& limits) : socket_(socket), limits_(limits) {}

  // Waits for the first byte of a request, from which the limits count; false when none comes.
  bool next_request();
  // As read(2); -1 also when the request meets a limit.
  ssize_t read(char* data, size_t size);
  // Which limit the request has met.
  Limit met() const { return met_; }
  // Whether anything was written since next_request().
  bool has_answered() const { return has_answered_; }

  // As send(2), after a wait until the client takes something; -1 when it does not.
  ssize_t write(const char* data, size_t size);
  bool is_readable() const;
  // Whether the client is there and takes something, now or before the limit.
  bool is_writable() const;

  int socket() const { return socket_; }

 private:
  using Clock = std::chrono::steady_clock;

  // Follows the header in what is handed out; false when it is too long.
  bool follow(const char* data, size_t size);
  ssize_t receive();

  const int socket_;
  const RequestLimits limits_;
  std::string buffer_;  // received and not handed out: from position_ on
  size_t position_ = 0;
  Clock::time_point begun_{};
  bool in_header_ = true;
  size_t header_bytes_ = 0;
  size_t line_bytes_ = 0;  // of the header's line that is being read, without CR
  Limit met_ = Limit::kNone;
  bool has_answered_ = false;
};

// Says that no more comes, and waits a moment so that the client can read what it was answered: a
// socket that is closed with bytes unread is reset, and the answer lost.
void end_answers(int socket);

// Tells a client that there is no place for it, without reading what it wants, and waits a moment
// so that it can read the answer. `answer` is a whole HTTP response.
void turn_away(int socket, const std::string& answer);

}  // namespace bitloop::api
