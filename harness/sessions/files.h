// The files a session shows beside the candidate: read-only, from the share folder, loaded once.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "harness/base/result.h"
#include "harness/editor/document.h"

namespace bitloop::sessions {

constexpr std::string_view kCandidate = "candidate.lua";

class SharedFiles {
 public:
  // Reads program.md, lua.md, model.md and quantizers/*.lua. Errors: "file_not_found", those of
  // editor::Document.
  static Result<SharedFiles> load(const std::filesystem::path& share_dir);

  // In the order in which they are listed: the texts, then the quantizers by name.
  const std::vector<editor::Document>& documents() const { return documents_; }
  const editor::Document* find(std::string_view path) const;  // nullptr when there is none

  // The text a candidate starts from. Error: "unknown_quantizer" (the message lists the names).
  Result<std::string> quantizer(std::string_view name) const;

 private:
  std::vector<editor::Document> documents_;
  std::map<std::string, std::string, std::less<>> quantizers_;  // name to text
};

}  // namespace bitloop::sessions
