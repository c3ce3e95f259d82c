#include "harness/journal/deflater.h"

#include <fmt/format.h>

namespace bitloop::journal {
namespace {

constexpr int kCompression = Z_BEST_SPEED;  // git's own choice for loose objects

}  // namespace

Deflater::~Deflater() {
  if (started_) ::deflateEnd(&stream_);
}

Result<std::string> Deflater::deflated(std::string_view plain) {
  const std::lock_guard lock(mutex_);
  int code = started_ ? ::deflateReset(&stream_) : ::deflateInit(&stream_, kCompression);
  std::string packed;
  if (code == Z_OK) {
    started_ = true;
    packed.resize(::deflateBound(&stream_, plain.size()));
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(plain.data()));  // only read
    stream_.avail_in = static_cast<uInt>(plain.size());
    stream_.next_out = reinterpret_cast<Bytef*>(packed.data());
    stream_.avail_out = static_cast<uInt>(packed.size());
    code = ::deflate(&stream_, Z_FINISH);
  }
  if (code != Z_STREAM_END)
    return fail("journal_failed", fmt::format("an object can't be compressed (zlib: {})", code));
  packed.resize(stream_.total_out);
  return packed;
}

}  // namespace bitloop::journal
