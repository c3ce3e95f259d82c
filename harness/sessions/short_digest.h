// A short name for a text: of things that are only ever looked up, the name is kept and not the
// text. 128 bits of SHA-256: no two texts that anybody will meet have the same, by chance or by
// design.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace bitloop::sessions {

using ShortDigest = std::array<uint64_t, 2>;

ShortDigest short_digest(std::string_view text);

}  // namespace bitloop::sessions
