// Between requests and the service: its terms, and its values as JSON documents.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/api/route.h"
#include "harness/sessions/service.h"

namespace bitloop::api {

// Under which terms a request asks for a change.
sessions::Terms terms_of(const Request& request);

nlohmann::ordered_json render(const sessions::SessionView& session);
nlohmann::ordered_json render(const sessions::HistoryItem& item);
nlohmann::ordered_json render(const sessions::FileView& file);
nlohmann::ordered_json render(const sessions::EditAnswer& answer);
nlohmann::ordered_json render(const sessions::DiffView& diff);
nlohmann::ordered_json render(const sessions::TestView& test);
nlohmann::ordered_json render(const sessions::TagsView& tags);

}  // namespace bitloop::api
