#include "harness/tasks/data_files.h"

#include <fnmatch.h>

#include <algorithm>
#include <string>
#include <vector>

namespace bitloop::tasks {
namespace {

namespace fs = std::filesystem;

// `*` alone is special.
std::string escaped(const std::string& name) {
  std::string pattern;
  for (const char c : name) {
    if (c == '?' || c == '[' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

std::vector<std::string> matching(const fs::path& path) {
  const std::string pattern = escaped(path.filename().string());
  std::vector<std::string> files;
  std::error_code error;
  for (fs::directory_iterator entry(path.parent_path(), error), end; !error && entry != end;
       entry.increment(error))
    if (std::error_code ignored;
        ::fnmatch(pattern.c_str(), entry->path().filename().c_str(), FNM_PERIOD) == 0 &&
        entry->is_regular_file(ignored))
      files.push_back(fs::absolute(entry->path()).lexically_normal().string());
  std::ranges::sort(files);
  return files;
}

}  // namespace

nlohmann::json data_files(const nlohmann::json& preset, const fs::path& data_dir) {
  nlohmann::json files;
  const nlohmann::json data = preset.value("data", nlohmann::json::object());
  for (const char* member : {"path", "val_path"}) {
    const std::string path = data.value(member, "");
    if (fs::path(path).filename().string().find('*') == std::string::npos) continue;
    files[member] = matching(data_dir / path);
  }
  return files;
}

}  // namespace bitloop::tasks
