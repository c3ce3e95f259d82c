#include "harness/sessions/digest.h"

#include "harness/base/sha256.h"
#include "harness/editor/lua_text.h"

namespace bitloop::sessions {
namespace {

std::string sha256_of(std::string_view text) {
  Sha256 sha;
  sha.add(text);
  return sha.finish();
}

}  // namespace

Digest digest_of(std::string_view candidate) {
  return {sha256_of(candidate), sha256_of(editor::lua_tokens(candidate))};
}

}  // namespace bitloop::sessions
