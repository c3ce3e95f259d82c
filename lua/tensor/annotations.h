// What editors know of the language, from the table that binds the operations and the allow-list of
// the environment: annotations for the Lua language server and luacheck's settings.
#pragma once

#include <string>
#include <vector>

namespace bitloop::lua {

struct GeneratedFile {
  std::string path;  // from the repository's root
  std::string text;
};

// lua/library/tensor/<group>.lua (methods), lua/library/torch/<group>.lua and
// lua/library/bitloop/<group>.lua (functions).
std::vector<GeneratedFile> annotation_files();
// .luacheckrc: every global and every field of the libraries, read-only.
GeneratedFile luacheck_settings();

}  // namespace bitloop::lua
