// The job "export": a run's model in the form of Hugging Face.
#pragma once

#include <nlohmann/json.hpp>

#include "harness/base/result.h"
#include "trainer/records.h"

namespace bitloop::trainer {

// Writes model.safetensors to the job's descriptor; the record `exported` has config.json. Errors
// are those of the machine; what is wrong with the run is the result.
Status export_model(const nlohmann::json& job, const Records& records);

}  // namespace bitloop::trainer
