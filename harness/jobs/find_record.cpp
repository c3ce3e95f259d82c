#include "harness/jobs/find_record.h"

#include <fstream>
#include <string>

namespace bitloop::jobs {

using Json = nlohmann::ordered_json;

bool find_record(const std::filesystem::path& events, std::string_view type,
                 const std::function<bool(const Json&)>& accepts) {
  const std::string named = '"' + std::string(type) + '"';
  std::ifstream file(events);
  for (std::string line; std::getline(file, line);) {
    if (line.find(named) == std::string::npos) continue;  // a look before the parser
    const Json record = Json::parse(line, nullptr, false);
    if (record.is_object() && record.value("type", Json()) == type && accepts(record)) return true;
  }
  return false;
}

}  // namespace bitloop::jobs
