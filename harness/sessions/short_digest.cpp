#include "harness/sessions/short_digest.h"

#include <charconv>
#include <string>

#include "harness/base/sha256.h"

namespace bitloop::sessions {

ShortDigest short_digest(std::string_view text) {
  constexpr size_t kDigits = 16;  // of a number
  Sha256 sha;
  sha.add(text);
  const std::string digits = sha.finish();
  ShortDigest digest{};
  for (size_t i = 0; i < digest.size(); ++i) {
    const char* first = digits.data() + i * kDigits;
    std::from_chars(first, first + kDigits, digest[i], 16);
  }
  return digest;
}

}  // namespace bitloop::sessions
