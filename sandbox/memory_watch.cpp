#include "sandbox/memory_watch.h"

#include <fmt/format.h>

#include <cstdlib>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::sandbox {
namespace {

uint64_t resident_bytes(const std::string& pid) {
  uint64_t kilobytes = 0;
  for (const std::string& line : split_lines(read_file("/proc/" + pid + "/status").value_or("")))
    for (const std::string_view field : {"RssAnon:", "RssShmem:"})
      if (line.starts_with(field))
        kilobytes += std::strtoull(line.c_str() + field.size(), nullptr, 10);
  return kilobytes * 1024;
}

}  // namespace

uint64_t resident_bytes_of_children(pid_t init) {
  uint64_t bytes = 0;
  for (const std::string& pid :
       split(read_file(fmt::format("/proc/{0}/task/{0}/children", init)).value_or(""), ' '))
    if (!pid.empty()) bytes += resident_bytes(pid);
  return bytes;
}

}  // namespace bitloop::sandbox
