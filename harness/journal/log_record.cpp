#include "harness/journal/log_record.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

namespace bitloop::journal {

using nlohmann::json;

std::string encode(const LoggedEvent& event) {
  json objects = json::array();
  for (const LoggedObject& object : event.objects)
    objects.push_back(
        {{"id", object.id}, {"bytes", json::binary({object.bytes.begin(), object.bytes.end()})}});
  std::string record;
  json::to_cbor({{"branch", event.branch},
                 {"commit", event.commit},
                 {"objects", std::move(objects)},
                 {"withdrawn", event.withdrawn}},
                record);
  return record;
}

Result<LoggedEvent> decode(std::string_view record) {
  try {
    const json document = json::from_cbor(record);
    LoggedEvent event;
    event.branch = document.at("branch");
    event.commit = document.at("commit");
    event.withdrawn = document.at("withdrawn");
    for (const json& item : document.at("objects")) {
      const auto& bytes = item.at("bytes").get_binary();
      event.objects.push_back({item.at("id"), {bytes.begin(), bytes.end()}});
    }
    return event;
  } catch (const json::exception& error) {
    return fail("journal_unreadable",
                fmt::format("a record of the write-ahead log can't be read: {}", error.what()));
  }
}

}  // namespace bitloop::journal
