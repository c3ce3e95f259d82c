// Which files a preset's data are: a pattern such as "fineweb_train_*.bin" names many.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>

namespace bitloop::tasks {

// {"path": [...], "val_path": [...]}: the files, as absolute paths in the order of their names,
// that those members of preset.data mean which have a `*` in the file's name. Null where none has.
// `data_dir`: where relative ones lie.
nlohmann::json data_files(const nlohmann::json& preset, const std::filesystem::path& data_dir);

}  // namespace bitloop::tasks
