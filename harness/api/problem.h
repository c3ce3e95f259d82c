// Errors as HTTP sees them: RFC 9457 problem documents with a stable `code`. The one place that
// turns an Error into a status.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "harness/base/result.h"

namespace bitloop::api {

constexpr std::string_view kProblemType = "application/problem+json";

struct Problem {
  std::string_view code;
  int status = 0;
  std::string_view meaning;  // a sentence
};
// All that the API answers with, by status.
std::span<const Problem> problems();

// The HTTP status of an error code. One that is not listed is a refusal of well-formed input: 422.
int status_of(std::string_view code);
// A short title for people, the same for all errors of a status.
std::string title_of(int status);
// {"type", "title", "status", "detail", "code"} as text.
std::string problem_document(const Error& error);

}  // namespace bitloop::api
