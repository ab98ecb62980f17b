{# Whether a price is one that homma accepts with the setting `prices`: above 0, or of any sign. #}
{% macro plausible_price(price) -%}
    is_finite({{ price }}){{ " and " ~ price ~ " > 0" if env_var("HOMMA_PRICES", "positive") == "positive" }}
{%- endmacro %}

{# The logarithm of a price divided by the previous one; null unless both are above 0. #}
{% macro log_return(price, previous) -%}
    ln(if({{ price }} > 0 and {{ previous }} > 0, {{ price }} / {{ previous }}))
{%- endmacro %}
