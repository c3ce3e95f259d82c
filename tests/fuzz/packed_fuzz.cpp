// A packed model's file: its header and tensors, once as they are and once with a header's checksum
// that is right, as whoever means harm would write it; and codes of any bytes.
#include <ATen/ATen.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <vector>

#include "harness/base/fd.h"
#include "tests/fuzz/fuzz.h"
#include "trainer/pack/code_packing.h"
#include "trainer/pack/packed_header.h"

namespace bitloop::trainer {
namespace {

using fuzz::require;

void read(const std::string& file) {
  const UniqueFd fd(::memfd_create("packed", MFD_CLOEXEC));
  require(write_all(fd.get(), file).has_value(), "memory can be written");
  const auto mapped = MappedFile::map(fd.get());
  require(mapped.has_value(), "memory can be mapped");
  const auto tensors = MappedTensors::parse(*mapped);
  if (!tensors) return require(tensors.error().code == "bad_weights", "a refusal has its code");
  for (const std::string& name : tensors->names()) {
    const std::span<const uint8_t> bytes = tensors->bytes(name);
    if (const auto stored = tensors->view(name)) {
      require(stored->nbytes() == bytes.size(), "a tensor is all of its bytes");
      require(stored->sizes() == at::IntArrayRef(tensors->shape(name)), "and has its shape");
      require(tensors->get(name)->numel() == stored->numel(), "as in float32");
    }
    (void)checksum(bytes.data(), bytes.size());  // reads all of them
  }
  if (const auto description = read_description(*tensors))
    require(description->at("xxh3").is_object(), "a description has checksums");
  else
    require(description.error().code == "bad_weights", "a refusal has its code");
}

// With the checksum that its header should have.
std::string sealed(std::string file) {
  uint64_t length = 0;
  if (file.size() < sizeof length) return file;
  std::memcpy(&length, file.data(), sizeof length);
  if (length > file.size() - sizeof length) return file;
  const std::string header = file.substr(sizeof length, length), zeros = with_zeros(header),
                    key = "\"header_xxh3\":\"", sum = checksum(zeros.data(), zeros.size());
  const size_t at = header.find(key);
  if (at == std::string::npos) return file;
  for (size_t i = 0; i < sum.size() && at + key.size() + i < header.size(); ++i)
    file[sizeof length + at + key.size() + i] = sum[i];
  return file;
}

void unpack(fuzz::Input input) {
  const int64_t levels = 2 + input.byte() * 3, count = 1 + input.byte();
  const CodePacking packing = CodePacking::of(levels);
  const std::string rest = input.rest();
  std::vector<uint8_t> bytes(static_cast<size_t>(packing.bytes(count)));
  std::copy_n(rest.begin(), std::min(rest.size(), bytes.size()), bytes.begin());
  std::vector<uint16_t> indices(static_cast<size_t>(count));
  if (!unpack_codes(packing, bytes.data(), count, indices.data())) return;
  for (const uint16_t index : indices) require(index < levels, "a code is one of the levels");
  std::vector<uint8_t> again(bytes.size());
  pack_codes(packing, indices.data(), count, again.data());
  require(again == bytes, "codes are packed in one way only");
}

}  // namespace
}  // namespace bitloop::trainer

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string file(reinterpret_cast<const char*>(data), size);
  bitloop::trainer::read(file);
  bitloop::trainer::read(bitloop::trainer::sealed(file));
  bitloop::trainer::unpack({data, size});
  return 0;
}
