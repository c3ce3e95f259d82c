// What is generated from the table of operations is checked in and current: docs/lua.md's last
// part, the annotations in lua/library/ and .luacheckrc. `make manual` writes them anew.
#include "lua/tensor/manual.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

#include "lua/tensor/annotations.h"

namespace bitloop::lua {
namespace {

namespace fs = std::filesystem;

constexpr const char* kMarker = "<!-- from here on written by `make manual`: do not edit -->\n\n";
const fs::path kRoot = BITLOOP_SOURCE_DIR;

std::string read(const fs::path& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

// Everything that is generated, with the hand-written first part of docs/lua.md.
std::vector<GeneratedFile> generated_files() {
  std::vector<GeneratedFile> files = annotation_files();
  files.push_back(luacheck_settings());
  const std::string text = read(kRoot / "docs/lua.md");
  const size_t marker = text.find(kMarker);
  EXPECT_NE(marker, std::string::npos) << "docs/lua.md has lost its marker: " << kMarker;
  if (marker != std::string::npos) {
    const size_t start = marker + std::string(kMarker).size();
    files.push_back({"docs/lua.md", text.substr(0, start) + operations_manual()});
  }
  return files;
}

// Folders of lua/library/ hold generated files only.
std::set<std::string> stale_annotations(const std::vector<GeneratedFile>& files) {
  std::set<std::string> stale;
  for (const auto& folder : fs::directory_iterator(kRoot / "lua/library")) {
    if (!folder.is_directory()) continue;
    for (const auto& file : fs::directory_iterator(folder))
      stale.insert(fs::relative(file.path(), kRoot).string());
  }
  for (const GeneratedFile& file : files) stale.erase(file.path);
  return stale;
}

TEST(ManualTest, GeneratedFilesAreCurrent) {
  const std::vector<GeneratedFile> files = generated_files();
  if (std::getenv("BITLOOP_UPDATE_DOCS")) {
    for (const std::string& path : stale_annotations(files)) fs::remove(kRoot / path);
    for (const GeneratedFile& file : files) {
      fs::create_directories((kRoot / file.path).parent_path());
      if (read(kRoot / file.path) != file.text) std::ofstream(kRoot / file.path) << file.text;
    }
    GTEST_SKIP() << "wrote " << files.size() << " files";
  }
  for (const GeneratedFile& file : files) {
    EXPECT_TRUE(read(kRoot / file.path) == file.text)
        << file.path << " is stale: run `make manual`, which writes it from the operations' table";
  }
  for (const std::string& path : stale_annotations(files))
    ADD_FAILURE() << path << " belongs to no group of operations: run `make manual`";
}

}  // namespace
}  // namespace bitloop::lua
