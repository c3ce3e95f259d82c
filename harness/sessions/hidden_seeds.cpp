#include "harness/sessions/hidden_seeds.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "harness/base/fd.h"
#include "harness/base/sha256.h"
#include "harness/base/text.h"

namespace bitloop::sessions {
namespace {

constexpr size_t kSecretBytes = 32;
constexpr size_t kDigits = 2 * kSecretBytes;

bool is_secret(std::string_view text) {
  return text.size() == kDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

// Written whole or not at all, and never over another process's: both would have made seeds of it.
Status make_secret(const std::filesystem::path& file) {
  const std::string part = fmt::format("{}.{}", file.string(), random_hex(8));
  const UniqueFd fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd.valid()) return std::unexpected(errno_error(part, errno));
  const Status written = write_all(fd.get(), random_hex(kSecretBytes) + "\n");
  const bool kept = written && ::fsync(fd.get()) == 0 &&
                    (::link(part.c_str(), file.c_str()) == 0 || errno == EEXIST);
  const int error = errno;
  ::unlink(part.c_str());
  if (!written) return written;
  if (kept) BITLOOP_TRY(sync_folder(file.parent_path()));
  if (!kept) return std::unexpected(errno_error(file.string(), error));
  return {};
}

}  // namespace

Result<std::string> verification_secret(const std::filesystem::path& workspace) {
  const std::filesystem::path file = workspace / "verification.key";
  auto text = read_file(file, kDigits + 1);
  if (!text && text.error().code == "file_not_found") {
    BITLOOP_TRY(make_secret(file));
    text = read_file(file, kDigits + 1);
  }
  if (!text) return std::unexpected(text.error());
  std::string secret = text->substr(0, text->find('\n'));
  if (!is_secret(secret))
    return fail("bad_secret", fmt::format("{} is not a secret of {} hexadecimal digits; put the "
                                          "right file back: other seeds follow from another",
                                          file.string(), kDigits));
  return secret;
}

std::vector<int64_t> hidden_seeds(std::string_view secret, std::string_view commit, int64_t known,
                                  int count) {
  std::vector<int64_t> seeds;
  for (int64_t i = 0; static_cast<int>(seeds.size()) < count; ++i) {
    // Of the digest 31 bits become known, so nothing can be continued from it.
    Sha256 hash;
    hash.add(fmt::format("{}\n{}\n{}", secret, commit, i));
    const auto seed =
        static_cast<int64_t>(std::stoull(hash.finish().substr(0, 8), nullptr, 16) & 0x7fffffffU);
    if (seed != known && std::ranges::find(seeds, seed) == seeds.end()) seeds.push_back(seed);
  }
  return seeds;
}

}  // namespace bitloop::sessions
