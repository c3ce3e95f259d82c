// What the tests of packed files share: a model, files in memory, the zoo.
#pragma once

#include <ATen/ATen.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "harness/base/fd.h"
#include "tests/trainer/fixture.h"
#include "trainer/pack/packed_model.h"

namespace bitloop::trainer {

inline ModelConfig middle_model() {
  return {.vocab_size = 17,
          .padded_vocab_size = 32,
          .context = 12,
          .layers = 2,
          .heads = 2,
          .width = 128};
}

inline std::string file_of(const PackedModel& packed, const nlohmann::json& description) {
  const UniqueFd fd(::memfd_create("packed", MFD_CLOEXEC));
  EXPECT_TRUE(write_packed(fd.get(), packed, description));
  ::lseek(fd.get(), 0, SEEK_SET);
  return *read_all(fd.get());
}

inline Result<MappedTensors> parse(const std::string& file) {
  const UniqueFd fd(::memfd_create("packed", MFD_CLOEXEC));
  EXPECT_TRUE(write_all(fd.get(), file));
  return MappedTensors::parse(*MappedFile::map(fd.get()));
}

// A model of the file; what is wrong with it.
inline Status unpack(const std::string& file, Transformer& model, const lua::Format* format,
                     Unpack how = Unpack::kWhole) {
  BITLOOP_ASSIGN(tensors, parse(file));
  BITLOOP_ASSIGN(description, read_description(tensors));
  return unpack_model(tensors, description, model, format, how);
}

inline std::vector<std::string> zoo() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::filesystem::path(BITLOOP_SOURCE_DIR) / "quantizers"))
    if (entry.path().extension() == ".lua") names.push_back(entry.path().stem().string());
  return names;
}

inline void init_layers(Transformer& model, lua::Quantizer& quantizer) {
  if (!quantizer.has("init")) return;
  for (BitLinear* layer : model.bitlinears()) {
    const auto made = quantizer.init(layer->layer, layer->weight.detach());
    ASSERT_TRUE(made) << made.error().message;
    for (const auto& [name, param] : made->params) layer->params[name] = param.value;
    layer->state = made->state;
  }
}

}  // namespace bitloop::trainer
