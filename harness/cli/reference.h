// How a person names a candidate: a session, one of its tests, a commit of the journal, or a Lua
// file.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "harness/journal/journal.h"

namespace bitloop::cli {

struct Reference {
  std::string session;
  int64_t test = 0;  // 0: the session as a whole
};

// "brave-otter-1f3a", "brave-otter-1f3a/2", "brave-otter-1f3a-2", "local/3". Whether the test
// exists is not asked. Error: "unknown_session".
Result<Reference> find_reference(const journal::Journal& journal, std::string_view text);

// A candidate's text with what it is called: "brave-otter-1f3a/2 (5e96b16)", "my.lua".
struct NamedText {
  std::string name;
  std::string text;
};
// A Lua file, a session (its newest candidate), a test (what it trained) or a commit (at least four
// digits). A name that ends with ".lua" is a file first, any other is one last. Errors:
// "unknown_commit" (nothing of that name), "ambiguous_commit", "test_not_found", those of reading.
Result<NamedText> find_text(const std::filesystem::path& workspace, const std::string& name);

// The unified diff of two texts under their names; "" when they are equal. Error: "journal_failed".
Result<std::string> named_diff(const NamedText& before, const NamedText& after);

}  // namespace bitloop::cli
