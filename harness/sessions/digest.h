// What candidates are compared by, without keeping their texts.
#pragma once

#include <string>
#include <string_view>

namespace bitloop::sessions {

struct Digest {
  std::string exact;    // SHA-256 of the bytes
  std::string meaning;  // of the tokens: without comments and white space
};
Digest digest_of(std::string_view candidate);

}  // namespace bitloop::sessions
