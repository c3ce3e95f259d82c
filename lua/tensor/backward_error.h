// How a failing Lua function leaves LibTorch's backward().
#pragma once

#include <stdexcept>
#include <utility>

#include "harness/base/result.h"

namespace bitloop::lua {

// Thrown out of backward() when the backward function of a bitloop.autograd fails: autograd has no
// other way out.
struct BackwardError : std::runtime_error {
  explicit BackwardError(Error what_failed)
      : std::runtime_error(what_failed.message), error(std::move(what_failed)) {}
  Error error;  // code and message as of every other call
};

// What `call`, which calls backward and returns a Status or Result, returns or throws so.
template <typename Call>
auto catching_backward(const Call& call) -> decltype(call()) {
  try {
    return call();
  } catch (const BackwardError& failed) {
    return std::unexpected(failed.error);
  }
}

}  // namespace bitloop::lua
