"""The rules, by code. A rule is a file with one class; a new one works as soon as it stands in this table."""

from __future__ import annotations

from rasen_lint.rule import Rule
from rasen_lint.rules.nb110_parameters_cell import ParametersCell
from rasen_lint.rules.nb113_parameter_annotation import ParameterAnnotation
from rasen_lint.rules.nb201_execution_order import ExecutionOrder
from rasen_lint.rules.nb202_package_install import PackageInstall
from rasen_lint.rules.nb205_cell_parses import CellParses
from rasen_lint.rules.nb208_used_before_cell import UsedBeforeCell
from rasen_lint.rules.nb212_never_defined import NeverDefined
from rasen_lint.rules.nb213_never_used import NeverUsed
from rasen_lint.rules.nb301_output_size import OutputSize
from rasen_lint.rules.nb302_secret_in_output import SecretInOutput
from rasen_lint.rules.nb303_mail_address_in_output import MailAddressInOutput
from rasen_lint.rules.nb304_error_output import ErrorOutput
from rasen_lint.rules.nb401_select_star import SelectStar
from rasen_lint.rules.nb402_whole_table import WholeTable

__all__ = ["RULES"]

RULES: dict[str, Rule] = {
    "NB110": ParametersCell(),
    "NB113": ParameterAnnotation(),
    "NB201": ExecutionOrder(),
    "NB202": PackageInstall(),
    "NB205": CellParses(),
    "NB208": UsedBeforeCell(),
    "NB212": NeverDefined(),
    "NB213": NeverUsed(),
    "NB301": OutputSize(),
    "NB302": SecretInOutput(),
    "NB303": MailAddressInOutput(),
    "NB304": ErrorOutput(),
    "NB401": SelectStar(),
    "NB402": WholeTable(),
}
