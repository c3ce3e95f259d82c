// A look through the records of a run's folder.
#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>

namespace bitloop::jobs {

// Whether a record of this type in the file satisfies `accepts`, which is asked in their order
// until one does. Lines that are no records, and a file that is not there, have none.
bool find_record(const std::filesystem::path& events, std::string_view type,
                 const std::function<bool(const nlohmann::ordered_json&)>& accepts);

}  // namespace bitloop::jobs
