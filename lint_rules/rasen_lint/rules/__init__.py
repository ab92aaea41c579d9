"""The rules, by code. A rule is a file with one class; a new one works as soon as it stands in this table."""

from __future__ import annotations

from rasen_lint.rule import Rule
from rasen_lint.rules.nb110_parameters_cell import ParametersCell
from rasen_lint.rules.nb113_parameter_annotation import ParameterAnnotation
from rasen_lint.rules.nb201_execution_order import ExecutionOrder
from rasen_lint.rules.nb202_package_install import PackageInstall
from rasen_lint.rules.nb205_cell_parses import CellParses
from rasen_lint.rules.nb208_used_before_cell import UsedBeforeCell
from rasen_lint.rules.nb209_randomness import Randomness
from rasen_lint.rules.nb212_never_defined import NeverDefined
from rasen_lint.rules.nb213_never_used import NeverUsed
from rasen_lint.rules.nb301_output_size import OutputSize
from rasen_lint.rules.nb302_secret_in_output import SecretInOutput
from rasen_lint.rules.nb303_mail_address_in_output import MailAddressInOutput
from rasen_lint.rules.nb304_error_output import ErrorOutput
from rasen_lint.rules.nb401_select_star import SelectStar
from rasen_lint.rules.nb402_whole_table import WholeTable
from rasen_lint.rules.nb501_no_metric import NoMetric
from rasen_lint.rules.nb502_no_model import NoModel
from rasen_lint.rules.nb503_gate_metric import GateMetric
from rasen_lint.rules.nb504_no_example import NoExample
from rasen_lint.rules.nb505_example_differs import ExampleDiffers
from rasen_lint.rules.nb506_not_in_image import NotInImage
from rasen_lint.rules.nb507_file_outside import FileOutside
from rasen_lint.rules.nb508_several_machines import SeveralMachines

__all__ = ["RULES"]

RULES: dict[str, Rule] = {
    "NB110": ParametersCell(),
    "NB113": ParameterAnnotation(),
    "NB201": ExecutionOrder(),
    "NB202": PackageInstall(),
    "NB205": CellParses(),
    "NB208": UsedBeforeCell(),
    "NB209": Randomness(),
    "NB212": NeverDefined(),
    "NB213": NeverUsed(),
    "NB301": OutputSize(),
    "NB302": SecretInOutput(),
    "NB303": MailAddressInOutput(),
    "NB304": ErrorOutput(),
    "NB401": SelectStar(),
    "NB402": WholeTable(),
    "NB501": NoMetric(),
    "NB502": NoModel(),
    "NB503": GateMetric(),
    "NB504": NoExample(),
    "NB505": ExampleDiffers(),
    "NB506": NotInImage(),
    "NB507": FileOutside(),
    "NB508": SeveralMachines(),
}
