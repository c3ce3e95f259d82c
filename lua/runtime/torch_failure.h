// What an exception of LibTorch's tells of: a mistake in what it was asked, or a machine that could
// not do it. A GPU's own errors surface late, at whichever operation waits for it next, so the
// operation that throws one need not be the one that it is about.
#pragma once

#include <exception>
#include <string>

namespace bitloop::lua {

enum class Cause {
  kRequest,  // what it was asked can't be done
  kMemory,   // none is left, of the processor's or the GPU's
  kDevice,   // the GPU failed, or its driver or libraries did
};

// What it says, without LibTorch's backtrace.
std::string words_of(const std::exception& error);

// What a request could bring about counts as one, also where it is the GPU that says so: an
// assertion on an index, a launch that is too large, an address that is none. Else a candidate
// could end its test as the machine's failure, which is charged to nobody, whenever it liked.
Cause cause_of(const std::exception& error);

}  // namespace bitloop::lua
