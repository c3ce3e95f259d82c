// How much one caller may have going on at a time. Without tokens all clients together are one.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace bitloop::api {

struct TrafficOptions {
  size_t calls = 400;  // that are worked on, long polls among them; event streams are not counted
  bool require_if_match = false;  // of every change of a session over HTTP
};

// Checks that run or wait for one of the few places where they run.
constexpr size_t kMostChecks = 8;

// Thread-safe.
class Traffic {
 public:
  explicit Traffic(size_t most) : state_(std::make_shared<State>(most)) {}

  // A place for the caller ("" without tokens), free again when the last copy is gone; nullptr when
  // all are taken.
  std::shared_ptr<void> enter(const std::string& caller);

 private:
  struct State {
    explicit State(size_t limit) : most(limit) {}
    const size_t most;
    std::mutex mutex;
    std::map<std::string, size_t> taken;  // by caller; none with 0
  };
  std::shared_ptr<State> state_;  // shared with the places, which may outlive this object
};

}  // namespace bitloop::api
