#include "harness/api/request_socket.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace bitloop::api {
namespace {

using std::chrono::milliseconds;

constexpr size_t kReceiveBytes = 4096;
constexpr auto kDrain = milliseconds(500);
constexpr size_t kDrainBytes = size_t{64} << 10;

// Whether the socket is ready within this time.
bool wait_for(int socket, short events, milliseconds time) {
  const auto deadline = std::chrono::steady_clock::now() + time;
  while (true) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd entry{socket, events, 0};
    const int ready = ::poll(&entry, 1, static_cast<int>(std::max(left, milliseconds(0)).count()));
    if (ready >= 0 || errno != EINTR) return ready > 0;
  }
}

ssize_t receive_some(int socket, char* data, size_t size, int flags) {
  ssize_t count = 0;
  do count = ::recv(socket, data, size, flags);
  while (count < 0 && errno == EINTR);
  return count;
}

}  // namespace

bool RequestSocket::next_request() {
  if (position_ == buffer_.size() && !wait_for(socket_, POLLIN, limits_.idle)) return false;
  begun_ = Clock::now();
  in_header_ = true;
  header_bytes_ = line_bytes_ = 0;
  met_ = Limit::kNone;
  has_answered_ = false;
  return true;
}

ssize_t RequestSocket::receive() {
  const auto until = begun_ + (in_header_ ? limits_.header : limits_.whole);
  const auto left = std::chrono::ceil<milliseconds>(until - Clock::now());
  if (left.count() <= 0 || !wait_for(socket_, POLLIN, left)) {
    met_ = Limit::kTime;
    return -1;
  }
  buffer_.resize(kReceiveBytes);
  position_ = 0;
  const ssize_t count = receive_some(socket_, buffer_.data(), buffer_.size(), 0);
  buffer_.resize(static_cast<size_t>(std::max<ssize_t>(count, 0)));
  return count;
}

ssize_t RequestSocket::read(char* data, size_t size) {
  if (met_ != Limit::kNone) return -1;
  if (position_ == buffer_.size())
    if (const ssize_t count = receive(); count <= 0) return count;
  const size_t count = std::min(size, buffer_.size() - position_);
  std::memcpy(data, buffer_.data() + position_, count);
  position_ += count;
  if (in_header_ && !follow(data, count)) return -1;
  return static_cast<ssize_t>(count);
}

bool RequestSocket::follow(const char* data, size_t size) {
  for (size_t i = 0; i < size && in_header_; ++i) {
    ++header_bytes_;
    if (data[i] == '\n') {
      in_header_ = line_bytes_ > 0;
      line_bytes_ = 0;
    } else if (data[i] != '\r') {
      ++line_bytes_;
    }
  }
  if (header_bytes_ <= limits_.header_bytes) return true;
  met_ = Limit::kHeaderBytes;
  return false;
}

ssize_t RequestSocket::write(const char* data, size_t size) {
  if (!is_writable()) return -1;
  has_answered_ = true;
  ssize_t count = 0;
  do count = ::send(socket_, data, size, MSG_NOSIGNAL);
  while (count < 0 && errno == EINTR);
  return count;
}

bool RequestSocket::is_readable() const {
  return position_ < buffer_.size() || wait_for(socket_, POLLIN, limits_.whole);
}

bool RequestSocket::is_writable() const {
  if (!wait_for(socket_, POLLOUT, limits_.write)) return false;
  if (!wait_for(socket_, POLLIN, milliseconds(0))) return true;
  char byte = 0;  // something to read: either a further request, or the end
  return receive_some(socket_, &byte, 1, MSG_PEEK) > 0;
}

void end_answers(int socket) {
  ::shutdown(socket, SHUT_WR);
  char bytes[4096];
  for (size_t drained = 0; drained < kDrainBytes && wait_for(socket, POLLIN, kDrain);) {
    const ssize_t count = receive_some(socket, bytes, sizeof bytes, 0);
    if (count <= 0) return;
    drained += static_cast<size_t>(count);
  }
}

void turn_away(int socket, const std::string& answer) {
  ::send(socket, answer.data(), answer.size(), MSG_NOSIGNAL);
  end_answers(socket);
}

}  // namespace bitloop::api
