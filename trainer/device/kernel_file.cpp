#include "trainer/device/kernel_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "harness/base/sha256.h"

namespace bitloop::trainer {
namespace {

constexpr std::string_view kMagic = "bitcubin";
constexpr size_t kDigest = 64;  // hexadecimal digits
constexpr size_t kHead = 8 + 2 * kDigest + sizeof(uint64_t);

std::string digest_of(std::string_view text) {
  Sha256 sum;
  sum.add(text);
  return sum.finish();
}

}  // namespace

Result<std::unique_ptr<KernelFile>> KernelFile::open(const std::string& path) {
  BITLOOP_ASSIGN(fd, open_file(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0600));
  std::unique_ptr<KernelFile> file(new KernelFile(std::move(fd)));
  // One that is too large is not ours: nothing of it is read.
  if (const auto whole = read_all(file->file_.get(), kMostKernelBytes)) file->take_records(*whole);
  return file;
}

void KernelFile::take_records(std::string_view whole) {
  while (whole.size() - end_ >= kHead) {
    const std::string_view head = whole.substr(end_, kHead);
    const std::string_view key = head.substr(8, kDigest), sum = head.substr(8 + kDigest, kDigest);
    uint64_t length = 0;
    std::memcpy(&length, head.data() + 8 + 2 * kDigest, sizeof length);
    if (!head.starts_with(kMagic) || length > whole.size() - end_ - kHead) return;
    const std::string_view image = whole.substr(end_ + kHead, length);
    if (digest_of(image) != sum) return;
    images_[std::string(key)] = image;
    end_ += kHead + length;
  }
}

std::optional<std::string> KernelFile::find(std::string_view key) {
  const auto found = images_.find(digest_of(key));
  return found == images_.end() ? std::nullopt : std::optional(found->second);
}

void KernelFile::keep(std::string_view key, std::string_view image) {
  const std::string digest = digest_of(key);
  const uint64_t length = image.size(), record_bytes = kHead + length;
  if (end_ + record_bytes > kMostKernelBytes) return;
  std::string record(kMagic);
  record += digest;
  record += digest_of(image);
  record.append(reinterpret_cast<const char*>(&length), sizeof length);
  record += image;
  // A write that ends in between (a full disk, a kill) leaves a record that is not whole.
  if (::ftruncate(file_.get(), static_cast<off_t>(end_)) != 0 ||
      ::pwrite(file_.get(), record.data(), record.size(), static_cast<off_t>(end_)) !=
          static_cast<ssize_t>(record.size()))
    return;
  images_[digest] = image;
  end_ += record_bytes;
}

}  // namespace bitloop::trainer
