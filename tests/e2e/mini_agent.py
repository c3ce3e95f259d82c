"""mini-swe-agent with a model that follows a script, as a program: reads {"task": …, "commands": […]} on standard input and
prints the conversation. Runs in .deps/test-venv."""

import json
import sys

from minisweagent.agents.default import DefaultAgent
from minisweagent.environments.local import LocalEnvironment
from minisweagent.models.test_models import DeterministicModel, make_output

order = json.load(sys.stdin)
outputs = [make_output(f"```bash\n{command}\n```", [{"command": command}], cost=0.0) for command in order["commands"]]
agent = DefaultAgent(DeterministicModel(outputs=outputs, cost_per_call=0.0), LocalEnvironment(cwd=order["folder"]),
                     system_template="You do research with curl.", instance_template="{{task}}")
end = agent.run(order["task"])
json.dump({"end": end, "messages": [message["content"] for message in agent.messages]}, sys.stdout)
