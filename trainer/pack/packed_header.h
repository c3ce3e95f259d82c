// The header of a packed model (docs/packing.md): what a reader knows before it takes the model
// apart.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "harness/base/result.h"
#include "trainer/checkpoint/mapped_tensors.h"

namespace bitloop::trainer {

// XXH3 of 64 bits, as 16 hexadecimal digits.
std::string checksum(const void* data, size_t size);

// The metadata with this description, still without the header's checksum; and with it, made of the
// header's text as it is without.
std::map<std::string, std::string> packed_metadata(const nlohmann::json& description);
void seal_metadata(std::string_view header, std::map<std::string, std::string>& metadata);

// A header's text with zeros where its own checksum stands, of which that is made.
std::string with_zeros(std::string_view header);

// The description. Errors "bad_weights": a header that was changed, another version.
Result<nlohmann::json> read_description(const MappedTensors& tensors);

}  // namespace bitloop::trainer
