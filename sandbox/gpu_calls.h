// How CUDA talks to NVIDIA's driver: the ioctl requests that both filters let through when there is
// a GPU. A filter sees the request's number and not the file, so these pass for any open file; no
// other file in the jail knows them. Numbers are those of the driver's open kernel modules.
//
// What a request does stands in memory that a filter can't read: RM_CONTROL and RM_ALLOC alone are
// hundreds of commands each. So this keeps other drivers out (terminals, disks, network), and does
// not make NVIDIA's smaller.
#pragma once

#include <cstdint>
#include <vector>

namespace bitloop::sandbox {

// nvidiactl and nvidiaN: _IOWR('F', number, any size).
inline constexpr uint32_t kDriverMask = 0xc000ff00;
inline constexpr uint32_t kDriverRequest = 0xc0004600;

// nvidia-uvm: plain numbers. 55 to 64 are those of its tools, which read other memory.
inline std::vector<uint32_t> unified_memory_requests() {
  std::vector<uint32_t> requests = {0x30000001, 0x30000002};  // begin and end
  for (uint32_t number = 23; number <= 80; ++number)
    if (number < 55 || number > 64) requests.push_back(number);
  return requests;
}

}  // namespace bitloop::sandbox
