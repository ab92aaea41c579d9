"""The rules, by code. A rule is a file with one class; a new one works as soon as it stands in this table."""

from __future__ import annotations

from rasen_lint.rule import Rule
from rasen_lint.rules.nb101_notebook_name import NotebookName
from rasen_lint.rules.nb102_title import Title
from rasen_lint.rules.nb103_kernel import Kernel
from rasen_lint.rules.nb104_empty_cell import EmptyCell
from rasen_lint.rules.nb105_cell_length import CellLength
from rasen_lint.rules.nb106_import_place import ImportPlace
from rasen_lint.rules.nb107_many_prints import ManyPrints
from rasen_lint.rules.nb108_experiment_headings import ExperimentHeadings
from rasen_lint.rules.nb110_parameters_cell import ParametersCell
from rasen_lint.rules.nb111_parameters_only import ParametersOnly
from rasen_lint.rules.nb112_parameter_default import ParameterDefault
from rasen_lint.rules.nb113_parameter_annotation import ParameterAnnotation
from rasen_lint.rules.nb201_execution_order import ExecutionOrder
from rasen_lint.rules.nb202_package_install import PackageInstall
from rasen_lint.rules.nb203_shell_escape import ShellEscape
from rasen_lint.rules.nb204_changed_state import ChangedState
from rasen_lint.rules.nb205_cell_parses import CellParses
from rasen_lint.rules.nb206_absolute_path import AbsolutePath
from rasen_lint.rules.nb207_credential import Credential
from rasen_lint.rules.nb208_used_before_cell import UsedBeforeCell
from rasen_lint.rules.nb209_randomness import Randomness
from rasen_lint.rules.nb210_asks_a_person import AsksAPerson
from rasen_lint.rules.nb211_current_time import CurrentTime
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
    "NB101": NotebookName(),
    "NB102": Title(),
    "NB103": Kernel(),
    "NB104": EmptyCell(),
    "NB105": CellLength(),
    "NB106": ImportPlace(),
    "NB107": ManyPrints(),
    "NB108": ExperimentHeadings(),
    "NB110": ParametersCell(),
    "NB111": ParametersOnly(),
    "NB112": ParameterDefault(),
    "NB113": ParameterAnnotation(),
    "NB201": ExecutionOrder(),
    "NB202": PackageInstall(),
    "NB203": ShellEscape(),
    "NB204": ChangedState(),
    "NB205": CellParses(),
    "NB206": AbsolutePath(),
    "NB207": Credential(),
    "NB208": UsedBeforeCell(),
    "NB209": Randomness(),
    "NB210": AsksAPerson(),
    "NB211": CurrentTime(),
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
