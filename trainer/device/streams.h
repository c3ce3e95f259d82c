// Streams of whatever accelerator there is, without its headers.
#pragma once

#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace bitloop::trainer {

// That this thread queues its work on.
inline c10::Stream current_stream(c10::Device device) {
  return c10::impl::VirtualGuardImpl(device.type()).getStream(device);
}

}  // namespace bitloop::trainer
