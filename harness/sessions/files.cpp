#include "harness/sessions/files.h"

#include <fmt/format.h>

#include "harness/base/fd.h"
#include "harness/base/text.h"

namespace bitloop::sessions {

Result<SharedFiles> SharedFiles::load(const std::filesystem::path& share_dir) {
  SharedFiles files;
  std::map<std::string, std::filesystem::path> quantizers;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(share_dir / "quantizers", error))
    if (entry.path().extension() == ".lua") quantizers[entry.path().stem()] = entry.path();
  if (error)
    return std::unexpected(errno_error((share_dir / "quantizers").string(), error.value()));

  for (const char* name : {"program.md", "lua.md", "model.md"}) {
    BITLOOP_ASSIGN(text, read_file(share_dir / name, editor::kMaxFileBytes));
    BITLOOP_ASSIGN(document, editor::Document::read_only(text, name));
    files.documents_.push_back(std::move(document));
  }
  for (const auto& [name, path] : quantizers) {
    BITLOOP_ASSIGN(text, read_file(path, editor::kMaxFileBytes));
    BITLOOP_ASSIGN(document, editor::Document::read_only(text, "quantizers/" + name + ".lua"));
    files.documents_.push_back(std::move(document));
    files.quantizers_[name] = std::move(text);
  }
  return files;
}

const editor::Document* SharedFiles::find(std::string_view path) const {
  for (const editor::Document& document : documents_)
    if (document.path() == path) return &document;
  return nullptr;
}

Result<std::string> SharedFiles::quantizer(std::string_view name) const {
  if (const auto found = quantizers_.find(name); found != quantizers_.end()) return found->second;
  std::vector<std::string> names;
  for (const auto& [known, text] : quantizers_) names.push_back(known);
  return fail("unknown_quantizer", fmt::format("There is no quantizer '{}'; choose one of: {}.",
                                               name.substr(0, 60), join(names, ", ")));
}

}  // namespace bitloop::sessions
