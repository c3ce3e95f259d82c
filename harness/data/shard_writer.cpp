#include "harness/data/shard_writer.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>

#include "harness/base/sha256.h"

namespace bitloop::data {
namespace {

static_assert(std::endian::native == std::endian::little, "shards are little-endian");

constexpr int32_t kMagic = 20240520, kVersion = 1;
constexpr size_t kHeaderBytes = 256 * sizeof(int32_t);
constexpr size_t kBufferTokens = size_t{1} << 19;

Result<std::string> sha256_of(const std::filesystem::path& path) {
  BITLOOP_ASSIGN(file, open_file(path, O_RDONLY));
  Sha256 hash;
  std::vector<char> piece(size_t{1} << 20);
  while (true) {
    const ssize_t got = ::read(file.get(), piece.data(), piece.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return std::unexpected(errno_error(path.string(), errno));
    if (got == 0) return hash.finish();
    hash.add(piece.data(), static_cast<size_t>(got));
  }
}

}  // namespace

Status check_shard(const std::filesystem::path& folder, const Shard& shard) {
  const auto hash = sha256_of(folder / shard.file);
  if (!hash && hash.error().code != "file_not_found") return std::unexpected(hash.error());
  if (hash && *hash == shard.sha256) return {};
  return fail("bad_document",
              fmt::format("{}: {}; remove the folder's files and prepare them again",
                          (folder / shard.file).string(),
                          hash ? "is not what was written (its hash is not manifest.json's)"
                               : "is not there any more"));
}

std::string ShardWriter::file_name() const {
  return fmt::format("{}_{:06}.bin", stem_, state_.shards.size() + 1);
}

std::filesystem::path ShardWriter::part() const { return folder_ / (file_name() + ".part"); }

Result<ShardWriter> ShardWriter::open(std::filesystem::path folder, std::string stem,
                                      int64_t shard_tokens, State state) {
  ShardWriter writer(std::move(folder), std::move(stem), shard_tokens, std::move(state));
  if (writer.state_.begun == 0) return writer;
  // It was finished after the state was written down.
  std::error_code error;
  const std::filesystem::path whole = writer.folder_ / writer.file_name();
  if (!std::filesystem::exists(writer.part(), error) && std::filesystem::exists(whole, error))
    std::filesystem::rename(whole, writer.part(), error);
  if (error) return std::unexpected(errno_error(whole.string(), error.value()));
  BITLOOP_TRY(writer.open_part());
  return writer;
}

Status ShardWriter::open_part() {
  const std::filesystem::path path = part();
  BITLOOP_ASSIGN(file, open_file(path, O_RDWR | O_CREAT));
  const auto size = static_cast<off_t>(kHeaderBytes + 2 * static_cast<size_t>(state_.begun));
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return std::unexpected(errno_error(path.string(), errno));
  if (info.st_size < size && state_.begun > 0)
    return fail("bad_document", fmt::format("{} is shorter than it was left; empty the folder and "
                                            "begin anew",
                                            path.string()));
  if (::ftruncate(file.get(), size) != 0 || ::lseek(file.get(), size, SEEK_SET) != size)
    return std::unexpected(errno_error(path.string(), errno));
  file_ = std::move(file);
  return {};
}

Status ShardWriter::add(std::span<const uint16_t> tokens) {
  while (!tokens.empty()) {
    const auto room = static_cast<size_t>(shard_tokens_ - state_.begun);
    const auto now = tokens.first(std::min(tokens.size(), room));
    buffer_.insert(buffer_.end(), now.begin(), now.end());
    state_.begun += static_cast<int64_t>(now.size());
    tokens = tokens.subspan(now.size());
    if (state_.begun == shard_tokens_)
      BITLOOP_TRY(finish_shard());
    else if (buffer_.size() >= kBufferTokens)
      BITLOOP_TRY(write_buffer());
  }
  return {};
}

Status ShardWriter::write_buffer() {
  if (buffer_.empty()) return {};
  if (!file_.valid()) {
    // The part begins with what is in the buffer.
    const int64_t begun = std::exchange(state_.begun, 0);
    const Status opened = open_part();
    state_.begun = begun;
    if (!opened) return opened;
  }
  BITLOOP_TRY(write_all(file_.get(), {reinterpret_cast<const char*>(buffer_.data()),
                                      buffer_.size() * sizeof(uint16_t)}));
  buffer_.clear();
  return {};
}

Status ShardWriter::flush() {
  BITLOOP_TRY(write_buffer());
  if (file_.valid() && ::fsync(file_.get()) != 0)
    return std::unexpected(errno_error(part().string(), errno));
  return {};
}

Status ShardWriter::finish_shard() {
  BITLOOP_TRY(write_buffer());
  const std::filesystem::path path = part();
  std::array<int32_t, 256> header{kMagic, kVersion, static_cast<int32_t>(state_.begun)};
  if (::pwrite(file_.get(), header.data(), kHeaderBytes, 0) != static_cast<ssize_t>(kHeaderBytes))
    return std::unexpected(errno_error(path.string(), errno));
  if (::fsync(file_.get()) != 0) return std::unexpected(errno_error(path.string(), errno));
  BITLOOP_ASSIGN(sha256, sha256_of(path));
  const std::string name = file_name();
  if (::rename(path.c_str(), (folder_ / name).c_str()) != 0)
    return std::unexpected(errno_error(name, errno));
  BITLOOP_TRY(sync_folder(folder_));
  file_.reset();
  state_.shards.push_back({name, state_.begun, std::move(sha256)});
  state_.begun = 0;
  return {};
}

Status ShardWriter::finish() { return state_.begun > 0 ? finish_shard() : Status(); }

int64_t ShardWriter::tokens() const {
  int64_t sum = state_.begun;
  for (const Shard& shard : state_.shards) sum += shard.tokens;
  return sum;
}

}  // namespace bitloop::data
