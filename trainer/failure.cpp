#include "trainer/failure.h"

#include <new>
#include <string>

#include "lua/runtime/torch_failure.h"

namespace bitloop::trainer {

Error failure_of(const std::exception& error) {
  constexpr size_t kLongest = 1000;
  const std::string what = lua::words_of(error).substr(0, kLongest);
  switch (lua::cause_of(error)) {
    case lua::Cause::kMemory:
      return {"out_of_memory", dynamic_cast<const std::bad_alloc*>(&error) != nullptr
                                   ? "the run needs more memory than its limit allows"
                                   : what};
    case lua::Cause::kDevice:
      return {"infrastructure", "the GPU failed: " + what};
    case lua::Cause::kRequest:
      break;
  }
  return {"script_error", what};
}

}  // namespace bitloop::trainer
