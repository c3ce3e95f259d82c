#include "trainer/records.h"

#include <cmath>
#include <stdexcept>

#include "harness/base/fd.h"

namespace bitloop::trainer {
namespace {

// JSON has no NaN; a missing number is null, never 0 (design: scores).
void null_non_finite(nlohmann::json& value) {
  if (value.is_number_float() && !std::isfinite(value.get<double>())) value = nullptr;
  if (value.is_structured())
    for (auto& member : value) null_non_finite(member);
}

}  // namespace

nlohmann::json bare_result(std::string_view status, std::string_view message) {
  return {{"status", status},
          {"message", message},
          {"stages", nlohmann::json::array()},
          {"metrics", nlohmann::json::object()},
          {"flags", nlohmann::json::array()},
          {"findings", nlohmann::json::array()}};
}

std::string Records::line_of(const char* type, nlohmann::json fields) const {
  null_non_finite(fields);
  fields["type"] = type;
  fields["nonce"] = nonce_;
  return fields.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void Records::send(const char* type, nlohmann::json fields) const {
  if (fd_ < 0) return;
  const std::string line = line_of(type, std::move(fields));
  if (const Status written = write_all(fd_, line); !written)
    throw std::runtime_error("records can't be written: " + written.error().message);
}

}  // namespace bitloop::trainer
