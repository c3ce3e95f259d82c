#include "harness/api/route.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "harness/api/problem.h"
#include "harness/base/text.h"

namespace bitloop::api {
namespace {

using nlohmann::json;

constexpr int kMaxDepth = 16;

// Nesting of brackets outside strings, before anything is built from the text.
int nesting_depth(std::string_view text) {
  int depth = 0;
  int deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

const Field* find_field(const std::vector<Field>& fields, std::string_view name) {
  for (const Field& field : fields)
    if (field.name == name || (!field.alias.empty() && field.alias == name)) return &field;
  return nullptr;
}

Error unknown_field(std::string_view name, const std::vector<Field>& fields) {
  std::vector<std::string> names;
  for (const Field& field : fields) names.push_back(field.name);
  const std::string shown(name.substr(0, 60));
  return Error{"unknown_field",
               names.empty()
                   ? fmt::format("There is no field '{}' here; this call takes none.", shown)
                   : fmt::format("There is no field '{}' here; leave it out. The fields are: {}.",
                                 shown, join(names, ", "))};
}

std::unexpected<Error> out_of_range(const Field& field, std::string_view value) {
  return fail("invalid_value", fmt::format("'{}' must be between {} and {}, got {}.", field.name,
                                           field.min, field.max, value));
}

Status check_range(const Field& field, int64_t value) {
  if (value >= field.min && value <= field.max) return {};
  return out_of_range(field, std::to_string(value));
}

Status check_type(const Field& field, const json& value) {
  if (field.type == FieldType::kString) {
    if (!value.is_string())
      return fail("invalid_type",
                  fmt::format("'{}' must be a string, got {}.", field.name, value.type_name()));
    return {};
  }
  if (!value.is_number())
    return fail("invalid_type",
                fmt::format("'{}' must be an integer, got {}.", field.name, value.type_name()));
  // With a point, an exponent or more than 64 bits the parser makes a floating-point number of it.
  if (value.is_number_float()) {
    const auto number = value.get<double>();
    if (number < static_cast<double>(field.min) || number > static_cast<double>(field.max))
      return out_of_range(field, value.dump());
    return fail("invalid_type",
                std::trunc(number) == number
                    ? fmt::format("'{}' must be an integer, got {}; write it without point and "
                                  "exponent.",
                                  field.name, value.dump())
                    : fmt::format("'{}' must be an integer, got a fraction.", field.name));
  }
  if (value.is_number_unsigned() && value.get<uint64_t>() > uint64_t{INT64_MAX})
    return out_of_range(field, value.dump());
  return check_range(field, value.get<int64_t>());
}

Status check_required(const json& given, const std::vector<Field>& fields) {
  for (const Field& field : fields)
    if (field.required && !given.contains(field.name))
      return fail("missing_field",
                  fmt::format("The field '{}' is missing: {}{}.", field.name, field.description,
                              field.choices.empty() ? "" : " (" + join(field.choices, ", ") + ")"));
  return {};
}

Status add_field(json& given, const Field& field, json value) {
  if (given.contains(field.name))
    return fail("invalid_value", fmt::format("'{}' is given twice; give it once.", field.name));
  BITLOOP_TRY(check_type(field, value));
  given[field.name] = std::move(value);
  return {};
}

}  // namespace

std::optional<std::string> Request::text(const char* name) const {
  const auto found = body.find(name);
  return found == body.end() ? std::nullopt : std::optional(found->get<std::string>());
}

std::optional<int64_t> Request::number(const char* name) const {
  const auto found = body.find(name);
  return found == body.end() ? std::nullopt : std::optional(found->get<int64_t>());
}

std::string Request::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

Response json_response(const nlohmann::ordered_json& document, int status) {
  Response response;
  response.status = status;
  response.body = document.dump(-1, ' ', false, json::error_handler_t::replace) + "\n";
  return response;
}

Response problem_response(const Error& error) {
  Response response;
  response.status = status_of(error.code);
  response.content_type = kProblemType;
  response.body = problem_document(error);
  if (response.status == 429) response.headers.emplace_back("Retry-After", "1");
  return response;
}

std::optional<std::map<std::string, std::string>> match_path(std::string_view pattern,
                                                             std::string_view path) {
  std::map<std::string, std::string> parameters;
  const auto pattern_parts = split(pattern, '/');
  const auto path_parts = split(path, '/');
  for (size_t i = 0; i < pattern_parts.size(); ++i) {
    std::string_view part = pattern_parts[i];
    if (i >= path_parts.size()) return std::nullopt;
    if (!part.starts_with('{')) {
      if (part != path_parts[i]) return std::nullopt;
      continue;
    }
    part = part.substr(1, part.size() - 2);
    const bool takes_rest = part.ends_with("...");
    if (takes_rest) part.remove_suffix(3);
    const std::string value =
        takes_rest ? join({path_parts.begin() + static_cast<ptrdiff_t>(i), path_parts.end()}, "/")
                   : path_parts[i];
    if (value.empty()) return std::nullopt;
    parameters[std::string(part)] = value;
    if (takes_rest) return parameters;
  }
  if (path_parts.size() != pattern_parts.size()) return std::nullopt;
  return parameters;
}

Result<json> parse_json(std::string_view text, int max_depth) {
  if (nesting_depth(text) > max_depth)
    return fail("invalid_json",
                fmt::format("The body is nested more than {} levels deep.", max_depth));
  try {
    return json::parse(text);
  } catch (const json::parse_error& error) {
    return fail("invalid_json", fmt::format("The body is not valid JSON (near byte {}); send one "
                                            "JSON object in UTF-8.",
                                            error.byte));
  } catch (const json::out_of_range&) {
    return fail("invalid_value", "The body holds a number beyond all numbers (over 1e308).");
  }
}

Result<json> check_members(const json& document, const std::vector<Field>& fields) {
  if (!document.is_object())
    return fail("invalid_type",
                fmt::format("The body must be a JSON object, got {}.", document.type_name()));
  json given = json::object();
  for (const auto& [name, value] : document.items()) {
    const Field* field = find_field(fields, name);
    if (field == nullptr) return std::unexpected(unknown_field(name, fields));
    BITLOOP_TRY(add_field(given, *field, value));
  }
  BITLOOP_TRY(check_required(given, fields));
  return given;
}

Result<json> parse_body(std::string_view text, const std::vector<Field>& fields) {
  json document = json::object();
  if (text.find_first_not_of(" \t\r\n") != std::string_view::npos) {
    BITLOOP_ASSIGN(parsed, parse_json(text, kMaxDepth));
    document = std::move(parsed);
  }
  return check_members(document, fields);
}

Result<json> parse_query(const std::multimap<std::string, std::string>& pairs,
                         const std::vector<Field>& fields) {
  json given = json::object();
  for (const auto& [name, text] : pairs) {
    const Field* field = find_field(fields, name);
    if (field == nullptr) return std::unexpected(unknown_field(name, fields));
    json value = text;
    if (field->type == FieldType::kInteger) {
      int64_t number = 0;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
      if (error == std::errc::result_out_of_range) return out_of_range(*field, text.substr(0, 60));
      if (error != std::errc{} || end != text.data() + text.size())
        return fail("invalid_type", fmt::format("'{}' must be an integer.", field->name));
      value = number;
    }
    BITLOOP_TRY(add_field(given, *field, std::move(value)));
  }
  BITLOOP_TRY(check_required(given, fields));
  return given;
}

}  // namespace bitloop::api
