// zlib's compression as git's loose objects have it. Its tables are a quarter of a megabyte: to ask
// for them and give them back four times an event cost more than to compress, in page faults, so
// there is one set for all.
#pragma once

#include <zlib.h>

#include <mutex>
#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop::journal {

// Thread-safe: texts are small, and who comes meanwhile waits.
class Deflater {
 public:
  Deflater() = default;
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // Error: "journal_failed" (no memory).
  Result<std::string> deflated(std::string_view plain);

 private:
  std::mutex mutex_;
  z_stream stream_{};
  bool started_ = false;
};

}  // namespace bitloop::journal
