// Where the programs find each other and their read-only files: by the place of the running
// executable, so that the build tree, an installation and a copied folder all work without
// configuration.
#pragma once

#include <filesystem>
#include <vector>

namespace bitloop {

std::filesystem::path executable_path();  // of this process, links resolved
// A program beside this one: program_path("bitloop-trainer").
std::filesystem::path program_path(const char* name);
// Where such a program's own libraries may lie, in the order in which they are looked for: beside
// an installed or built program, above a test's, in its own folder.
std::vector<std::filesystem::path> library_folders(const std::filesystem::path& program);
// ../share/bitloop: quantizers/, presets/, tasks/, data/, *.md. The environment variable
// BITLOOP_SHARE (a hook for tests) names another folder.
std::filesystem::path share_dir();
// Where bitloop keeps a user's data: $XDG_DATA_HOME/bitloop (~/.local/share/bitloop).
std::filesystem::path user_data_dir();

}  // namespace bitloop
